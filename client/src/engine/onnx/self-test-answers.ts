/** Made by test/fixtures/engine/make_fixtures.py with transformers and peft in f64; see self-test.ts. */

// prettier-ignore
export const siluAnswers = {
 "config": {
  "model_type": "llama",
  "hidden_size": 16,
  "intermediate_size": 32,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "head_dim": 8,
  "vocab_size": 40,
  "max_position_embeddings": 64,
  "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0,
  "tie_word_embeddings": false
 },
 "seed": 7,
 "lora": {
  "r": 2,
  "lora_alpha": 4,
  "use_rslora": false,
  "target_modules": [
   "q_proj",
   "k_proj",
   "v_proj",
   "o_proj",
   "gate_proj",
   "up_proj",
   "down_proj"
  ]
 },
 "batch": {
  "ids": [
   [
    29,
    15,
    11,
    39,
    9,
    14,
    26,
    32,
    26,
    35,
    4,
    17
   ],
   [
    24,
    19,
    17,
    16,
    4,
    6,
    23,
    20
   ],
   [
    38,
    11,
    34,
    12,
    8
   ]
  ],
  "answerMask": [
   [
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    1,
    1,
    1,
    1
   ],
   [
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    1
   ],
   [
    0,
    0,
    0,
    0,
    1
   ]
  ]
 },
 "losses": [
  4.036959866692212,
  4.772036429757435,
  4.380680847989874
 ],
 "l2Bound": 2.7814602851867676,
 "norms": [
  2.582849392979818,
  3.0905114605874813,
  5.285672624658077
 ],
 "tensors": [
  {
   "norm": 0.5940597604011508,
   "projection": -0.03670308585962459
  },
  {
   "norm": 1.0026946225999178,
   "projection": 0.5110215907199843
  },
  {
   "norm": 0.4686050341291808,
   "projection": -0.2612159528329719
  },
  {
   "norm": 0.9180256885490616,
   "projection": 0.6162077582967568
  },
  {
   "norm": 0.870757252032701,
   "projection": -0.017173257484880355
  },
  {
   "norm": 1.2080167908801764,
   "projection": -0.2974337259202193
  },
  {
   "norm": 1.6275137166149538,
   "projection": -0.6146543989189199
  },
  {
   "norm": 1.2767204261717577,
   "projection": -0.22006429891390827
  },
  {
   "norm": 0.8591061689112569,
   "projection": 0.27947218015662934
  },
  {
   "norm": 0.7771896364470814,
   "projection": 0.8083444985341584
  },
  {
   "norm": 0.45480934259193395,
   "projection": 0.6181357010926386
  },
  {
   "norm": 1.102898723677984,
   "projection": 0.19423961064192358
  },
  {
   "norm": 0.9994768390895439,
   "projection": -2.291281211953195
  },
  {
   "norm": 0.7536688863585451,
   "projection": 0.2727210720024896
  },
  {
   "norm": 0.14539848716463835,
   "projection": 0.0396021625780599
  },
  {
   "norm": 0.45593512004320624,
   "projection": -0.26541686701202327
  },
  {
   "norm": 0.34188178044406187,
   "projection": 0.2519951830760507
  },
  {
   "norm": 0.4354106414186654,
   "projection": -0.47490018305433146
  },
  {
   "norm": 0.6415255116517152,
   "projection": -0.6443238066745992
  },
  {
   "norm": 0.7400001639523482,
   "projection": 0.3555638782846958
  },
  {
   "norm": 1.6847339985455827,
   "projection": -0.2242886059099758
  },
  {
   "norm": 0.9901548793287387,
   "projection": -0.29795465557400536
  },
  {
   "norm": 0.6414979581731608,
   "projection": -0.4176250404510581
  },
  {
   "norm": 0.42942475459667623,
   "projection": 0.15904840794155845
  },
  {
   "norm": 0.3363352353950341,
   "projection": -0.2026467183296531
  },
  {
   "norm": 0.6785922590531013,
   "projection": 0.8562708341863912
  },
  {
   "norm": 0.8192729508509352,
   "projection": 0.2938493302767652
  },
  {
   "norm": 0.7278390993914691,
   "projection": 0.09433204368355079
  }
 ]
} as const;

// prettier-ignore
export const geluAnswers = {
 "config": {
  "model_type": "gemma2",
  "hidden_size": 24,
  "intermediate_size": 32,
  "num_hidden_layers": 3,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "head_dim": 8,
  "vocab_size": 40,
  "max_position_embeddings": 64,
  "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0,
  "tie_word_embeddings": true,
  "hidden_activation": "gelu_pytorch_tanh",
  "query_pre_attn_scalar": 12,
  "sliding_window": 4,
  "attn_logit_softcapping": 3.0,
  "final_logit_softcapping": 5.0
 },
 "seed": 12,
 "lora": {
  "r": 2,
  "lora_alpha": 4,
  "use_rslora": false,
  "target_modules": [
   "q_proj",
   "k_proj",
   "v_proj",
   "o_proj",
   "gate_proj",
   "up_proj",
   "down_proj"
  ]
 },
 "batch": {
  "ids": [
   [
    19,
    22,
    22,
    15,
    38,
    16,
    27,
    16,
    19,
    39,
    9
   ],
   [
    26,
    18,
    27,
    30,
    15,
    27,
    28
   ],
   [
    19,
    7,
    25,
    4,
    35,
    34,
    34,
    3,
    38
   ]
  ],
  "answerMask": [
   [
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    1,
    1,
    1
   ],
   [
    0,
    0,
    0,
    0,
    0,
    0,
    1
   ],
   [
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    1,
    1
   ]
  ]
 },
 "losses": [
  4.228419784668166,
  5.361214881721484,
  5.530871647495807
 ],
 "l2Bound": 4.491540431976318,
 "norms": [
  3.2590519713797117,
  6.453204881521394,
  4.990600366238021
 ],
 "tensors": [
  {
   "norm": 0.5163492412779878,
   "projection": -0.22145267641938207
  },
  {
   "norm": 1.1854447784942923,
   "projection": -0.10070212557411118
  },
  {
   "norm": 0.8495062110631361,
   "projection": -0.06388311002452096
  },
  {
   "norm": 0.629975300927095,
   "projection": 0.33693300804805726
  },
  {
   "norm": 1.2221276246503188,
   "projection": -1.5513692474867473
  },
  {
   "norm": 1.43263453777397,
   "projection": 0.3264040178948244
  },
  {
   "norm": 1.2830222340759458,
   "projection": 0.2659151353255985
  },
  {
   "norm": 1.6187744589189372,
   "projection": 0.4754478094767136
  },
  {
   "norm": 1.3125412111617192,
   "projection": -0.16622076745470263
  },
  {
   "norm": 2.349962136563447,
   "projection": 0.35598447641079334
  },
  {
   "norm": 2.1338125806814796,
   "projection": 1.1261560675026672
  },
  {
   "norm": 1.8547776463428933,
   "projection": -1.373097057356612
  },
  {
   "norm": 1.447060744133945,
   "projection": -0.2860311508569753
  },
  {
   "norm": 0.7762875827669301,
   "projection": 0.8151828837005978
  },
  {
   "norm": 0.7571865193491448,
   "projection": 0.31096839724740644
  },
  {
   "norm": 0.7731649112800996,
   "projection": 0.16668012698336193
  },
  {
   "norm": 0.6123950489357198,
   "projection": 0.5367879973220353
  },
  {
   "norm": 0.49495565440861045,
   "projection": -0.17758408840895834
  },
  {
   "norm": 0.9022144438368551,
   "projection": 0.27480034522840574
  },
  {
   "norm": 1.0442644978079045,
   "projection": 0.12046627898291867
  },
  {
   "norm": 0.868015217773695,
   "projection": 0.4002842154084413
  },
  {
   "norm": 0.4238701393846363,
   "projection": 0.2925337129355039
  },
  {
   "norm": 0.5209209168441716,
   "projection": -0.017545678376983148
  },
  {
   "norm": 0.7347509131108466,
   "projection": 0.41353560373185705
  },
  {
   "norm": 0.8271721660415006,
   "projection": 0.2786915951402211
  },
  {
   "norm": 1.6678038495347098,
   "projection": -0.8804505801106707
  },
  {
   "norm": 0.8474118290012549,
   "projection": -0.4292790187214311
  },
  {
   "norm": 1.3012043212296598,
   "projection": 0.04862587644608907
  },
  {
   "norm": 0.3205658702081964,
   "projection": -0.10958728974529809
  },
  {
   "norm": 0.441194789260122,
   "projection": -0.19045762927330565
  },
  {
   "norm": 0.9617493400955035,
   "projection": -0.2069402854541037
  },
  {
   "norm": 0.4225449162960948,
   "projection": 0.06103173499515305
  },
  {
   "norm": 0.6167940029427432,
   "projection": 0.02676770125124875
  },
  {
   "norm": 1.1767888214256201,
   "projection": 0.10869953744557237
  },
  {
   "norm": 0.8331655254228139,
   "projection": -0.15028308896686252
  },
  {
   "norm": 1.0472988570598503,
   "projection": 1.2535821533433986
  },
  {
   "norm": 0.9787610167417565,
   "projection": -0.08888579086993564
  },
  {
   "norm": 1.1203575695403247,
   "projection": -0.7327363722112514
  },
  {
   "norm": 1.14418124866711,
   "projection": 0.08050877066273332
  },
  {
   "norm": 1.537575964045346,
   "projection": -1.0716289852367313
  },
  {
   "norm": 0.6158207516473254,
   "projection": 0.6600277655099007
  },
  {
   "norm": 0.7420766964899363,
   "projection": 0.584993663192847
  }
 ]
} as const;

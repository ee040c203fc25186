/** Made by test/fixtures/engine/make_fixtures.py with transformers and peft in f64; see self-test.ts. */

// prettier-ignore
export const answers = {
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
   "norm": 0.5940597604011505,
   "projection": -0.0367030858596247
  },
  {
   "norm": 1.0026946225999178,
   "projection": 0.5110215907199845
  },
  {
   "norm": 0.46860503412918075,
   "projection": -0.2612159528329716
  },
  {
   "norm": 0.9180256885490616,
   "projection": 0.6162077582967569
  },
  {
   "norm": 0.8707572520327014,
   "projection": -0.017173257484879606
  },
  {
   "norm": 1.2080167908801764,
   "projection": -0.29743372592022027
  },
  {
   "norm": 1.6275137166149538,
   "projection": -0.6146543989189203
  },
  {
   "norm": 1.2767204261717573,
   "projection": -0.22006429891390844
  },
  {
   "norm": 0.8591061689112569,
   "projection": 0.2794721801566292
  },
  {
   "norm": 0.7771896364470815,
   "projection": 0.8083444985341584
  },
  {
   "norm": 0.45480934259193384,
   "projection": 0.6181357010926382
  },
  {
   "norm": 1.102898723677984,
   "projection": 0.19423961064192413
  },
  {
   "norm": 0.9994768390895438,
   "projection": -2.291281211953195
  },
  {
   "norm": 0.7536688863585452,
   "projection": 0.27272107200248913
  },
  {
   "norm": 0.14539848716463832,
   "projection": 0.03960216257805978
  },
  {
   "norm": 0.45593512004320624,
   "projection": -0.2654168670120233
  },
  {
   "norm": 0.3418817804440618,
   "projection": 0.25199518307605073
  },
  {
   "norm": 0.4354106414186655,
   "projection": -0.4749001830543317
  },
  {
   "norm": 0.6415255116517152,
   "projection": -0.6443238066745994
  },
  {
   "norm": 0.7400001639523481,
   "projection": 0.35556387828469593
  },
  {
   "norm": 1.684733998545583,
   "projection": -0.22428860590997635
  },
  {
   "norm": 0.9901548793287389,
   "projection": -0.29795465557400524
  },
  {
   "norm": 0.6414979581731608,
   "projection": -0.4176250404510581
  },
  {
   "norm": 0.4294247545966762,
   "projection": 0.15904840794155822
  },
  {
   "norm": 0.3363352353950343,
   "projection": -0.20264671832965328
  },
  {
   "norm": 0.6785922590531014,
   "projection": 0.8562708341863914
  },
  {
   "norm": 0.8192729508509352,
   "projection": 0.2938493302767653
  },
  {
   "norm": 0.727839099391469,
   "projection": 0.09433204368355096
  }
 ]
} as const;

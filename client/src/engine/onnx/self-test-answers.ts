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

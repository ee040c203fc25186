/**
 * Every error code of the product: the protocol's and ours.
 *
 * To add codes, append to the section of your area below, or add a section and spread it into `errorCatalogue`.
 * The runbook has a section for each code (STYLE 4.9): `npm run runbook` writes its facts, and what helps beyond them is written there by
 * hand. A new family needs a page in `runbook.ts`.
 */

import { protocolErrorCatalogue, type ErrorEntry } from '@fedlora/protocol';

/** What is known about a code. `exitCode` is what a command that ends with it returns; without one it is `DEFAULT_EXIT_CODE`. */
export interface CatalogueEntry extends ErrorEntry {
  readonly exitCode?: number;
}

/** Exit codes by whose fault it is; service managers do not restart on 20 to 39 (see deploy/systemd). */
export const exitCodes = {
  /** The command line or a setting is wrong. */
  configuration: 20,
  /** The base model, adapter or tokenizer on disk cannot be used. */
  model: 21,
  /** The training data cannot be used. */
  data: 22,
  /** A file in which the program keeps its state is damaged or was changed. */
  state: 23,
  /** A bug of ours. */
  bug: 70,
} as const;

/** For errors whose entry names no exit code. */
export const DEFAULT_EXIT_CODE = 1;

const generalErrors = {
  'internal/unexpected': {
    blame: 'us',
    retry: 'never',
    exitCode: exitCodes.bug,
    meaning: 'Something failed in a way that was not foreseen.',
    remedy: 'Report this as a bug, with the log of the minutes before it.',
  },
} as const satisfies Record<string, CatalogueEntry>;

const safetensorsErrors = {
  'safetensors/malformed': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'A safetensors file does not follow its format, or was cut short.',
    remedy: 'Fetch the file again and compare its SHA-256 with the publisher’s.',
  },
  'safetensors/git-lfs-pointer': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The file is a Git LFS pointer, a small text that stands for the real file.',
    remedy: 'Run `git lfs pull` in the folder, or download the file itself.',
  },
  'safetensors/unsupported-dtype': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'A tensor has a number format that cannot be read as floating point here.',
    remedy: 'Use a checkpoint in F32, F16 or BF16.',
  },
} as const satisfies Record<string, CatalogueEntry>;

const baseModelErrors = {
  'base-model/not-found': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The folder lacks a file that every base model has.',
    remedy: 'Give the folder with config.json, tokenizer.json and *.safetensors of the base model.',
  },
  'base-model/invalid': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning:
      'The base model contradicts itself: a setting is missing or wrong, or a tensor is absent or has another shape.',
    remedy: 'Fetch the base model again; if that does not help, it is not what its config.json says.',
  },
  'base-model/unsupported': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The base model has a part that the engine does not compute.',
    remedy:
      'Use a Llama, Mistral, Qwen2, Qwen3, Gemma 2 or Gemma 3 (text) model without the part that the message names.',
  },
  'base-model/changed': {
    blame: 'environment',
    retry: 'later',
    exitCode: exitCodes.model,
    meaning: 'A file of the base model changed while it was in use.',
    remedy: 'Start the client again, and keep the folder of the base model read-only.',
  },
  'base-model/not-finite': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'A weight of the base model is not a finite number.',
    remedy: 'Fetch the base model again and compare its SHA-256 with the publisher’s.',
  },
} as const satisfies Record<string, CatalogueEntry>;

// --- The training engine: client/src/engine ---
const engineErrors = {
  'engine/self-test-failed': {
    blame: 'environment',
    retry: 'never',
    meaning: 'This device computes gradients wrongly: the known answers of the self-test came out different.',
    remedy: 'Train on another device, and report the numbers of the message with the processor and driver version.',
  },
  'engine/device-unavailable': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'The device that was asked for does not work on this machine.',
    remedy: 'Run `fedlora doctor` to see what works here and what the others lack, or let `auto` choose.',
  },
  'engine/failed': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The engine failed in the middle of its work: its device may be gone.',
    remedy:
      'The next round opens it again, on another device where the configuration says `auto`. `fedlora doctor` shows what works; what was charged for the round stays charged.',
  },
  'engine/diverged': {
    blame: 'owner',
    retry: 'never',
    meaning: 'Training diverged: a loss or a gradient is not a finite number.',
    remedy: 'Lower the learning rate, or lengthen the warm-up.',
  },
  'engine/out-of-memory': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The base model does not fit into the memory that is free, even computed in the way that takes least.',
    remedy:
      'Shorten the rows (--max-length), hold the base in 4 bits (--quantization nf4), adapt fewer modules or end other programs; `fedlora doctor --model` shows what takes how much.',
  },
} as const satisfies Record<string, CatalogueEntry>;

// --- GGUF: client/src/engine/weights/gguf ---
const ggufErrors = {
  'gguf/malformed': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'A GGUF file does not follow its format, or was cut short.',
    remedy: 'Fetch the file again and compare its SHA-256 with the publisher’s.',
  },
  'gguf/unsupported': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'A GGUF file is of a version, byte order or number format that is not read here.',
    remedy:
      'Use a little-endian file of version 2 or 3 in F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K or Q6_K, or the original safetensors.',
  },
} as const satisfies Record<string, CatalogueEntry>;

// --- bitsandbytes: client/src/engine/weights/bitsandbytes.ts ---
const bitsAndBytesErrors = {
  'base-model/exists': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The folder in which a checkpoint is to be written is not empty.',
    remedy: 'Give a folder that is new or empty; nothing is written over.',
  },
} as const satisfies Record<string, CatalogueEntry>;

// --- Downloads of base models: client/src/connection/base-download.ts ---
const downloadErrors = {
  'base-model/download-refused': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The server does not give this base model, or the repository has no model that is read here.',
    remedy: 'Check the name and revision; for a gated or private repository set HF_TOKEN to a token that may read it.',
  },
  'base-model/download-failed': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The base model could not be fetched to its end.',
    remedy:
      'Give the same command again: it goes on where it stopped. Look at the network, the proxy and the free disk.',
  },
  'base-model/download-corrupt': {
    blame: 'peer',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The server sends something else than its repository lists, or lists what no model has.',
    remedy: 'Do not use this server, or the proxy before it, until it is explained.',
  },
} as const satisfies Record<string, CatalogueEntry>;

const adapterErrors = {
  'adapter/invalid-config': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The file adapter_config.json is malformed or lacks a setting.',
    remedy: 'Fetch the adapter again.',
  },
  'adapter/unsupported': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The adapter is not a plain LoRA adapter of a causal language model.',
    remedy: 'Use an adapter without the feature that the message names.',
  },
  'adapter/tensor-missing': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The adapter lacks a tensor that its configuration calls for.',
    remedy: 'Fetch the adapter again; an adapter without tensors was saved by a program that lost them.',
  },
  'adapter/tensor-unexpected': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The adapter has a tensor that its configuration does not call for.',
    remedy: 'Check that the adapter was made for this base model and these target modules.',
  },
  'adapter/wrong-shape': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'A tensor of the adapter has another shape than the base model calls for.',
    remedy: 'Check that the adapter was made for this base model and this r.',
  },
  'adapter/not-mergeable': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The adapters cannot be merged in this way.',
    remedy: 'Merge adapters of one base model; where their ranks differ, use svd or cat.',
  },
  'adapter/not-finite': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'A value of the adapter is not a finite number.',
    remedy: 'Go back to an earlier version of the adapter; its training diverged.',
  },
  'adapter/implausible': {
    blame: 'coordinator',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The adapter of a round has values far larger than those of any honest run.',
    remedy: 'Its training diverged, or the coordinator made it to amplify what single rows do; ask the operator which.',
  },
  'adapter/promise-contradicted': {
    blame: 'operator',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The audit found that the adapter tells more about single rows than it promises.',
    remedy:
      'Do not release or use the adapter before this is explained: compare the noise of the run’s terms with what its clients ran, and repeat the audit with new canaries. One audit of twenty says so although all is well.',
  },
  'adapter/frozen-mismatch': {
    blame: 'coordinator',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The digest in the run’s terms is not that of the frozen factors which the run’s id determines.',
    remedy:
      'Check that client and coordinator have compatible versions; if they have, treat the coordinator as hostile.',
  },
} as const satisfies Record<string, CatalogueEntry>;

const dataErrors = {
  'data/not-found': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'A file of training data does not exist or cannot be read.',
    remedy: 'Correct the path in the client’s configuration, or the rights of the file.',
  },
  'data/unknown-format': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'A file of training data is neither .json, .jsonl, .csv nor .parquet.',
    remedy: 'Save the rows as a JSON array (.json), as one JSON object a line (.jsonl), as .csv or as .parquet.',
  },
  'data/output-exists': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'The file that was to be written is there already.',
    remedy: 'Choose another name, or remove the file yourself.',
  },
  'data/bad-key': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'The file is no key for pseudonyms.',
    remedy: 'Give a file that `fedlora data anonymise --key` made, or the name of one that is not there yet.',
  },
  'data/bad-canaries': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'The file is no record of canaries, or it was changed after it was sealed.',
    remedy:
      'Give the file that `fedlora audit canaries` wrote beside the canaries. Of a record that was changed nothing can be said any more: make new canaries.',
  },
  'data/malformed-file': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'A file of training data is not what its ending says.',
    remedy: 'Look at the line that the message names; a file that was cut short ends too early.',
  },
  'data/other-format': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'The data set’s rows have another format than the run learns from.',
    remedy:
      'Write the rows in the run’s format, or ask the operator for a run of yours; `fedlora data check` says which they have.',
  },
  'data/malformed-row': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'A row is no valid JSON, or lacks a field of its format.',
    remedy: 'Correct or remove the row that the message names.',
  },
  'data/row-too-large': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'A row is over the limit of bytes.',
    remedy: 'Split the row; it could not fit into the model’s length anyway.',
  },
  'data/question-too-long': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'A question has so many tokens that the base model has no position left for an answer.',
    remedy: 'Shorten the instruction or its input, or use a base model that takes longer texts.',
  },
  'data/too-long': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'A row has more tokens than the run allows, and its answer would have to be cut.',
    remedy: 'Shorten the row, or take part in runs with a larger maximumLength.',
  },
  'data/too-many-bad-rows': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'So many rows are bad that the file is probably of another format.',
    remedy: 'Run `fedlora data check`, and correct the rows it names or the configured format.',
  },
  'data/empty': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'No row is left to train on.',
    remedy: 'Give files with rows, or a larger `maximumLength` if all rows were too long.',
  },
  'data/no-chat-template': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.data,
    meaning: 'Rows are chats, but the base model brings no chat template.',
    remedy: 'Use a base model with a chat_template in tokenizer_config.json, or rows in Alpaca form.',
  },
} as const satisfies Record<string, CatalogueEntry>;

const tokenizerErrors = {
  'tokenizer/not-found': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The base model’s folder has no tokenizer.json.',
    remedy: 'Fetch tokenizer.json and tokenizer_config.json of the base model.',
  },
  'tokenizer/invalid': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The tokenizer cannot be loaded.',
    remedy: 'Fetch tokenizer.json and tokenizer_config.json again.',
  },
  'tokenizer/mismatch': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The tokenizer and the base model disagree on the vocabulary.',
    remedy: 'Take tokenizer.json and config.json from the same base model.',
  },
  'tokenizer/unknown-token': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'A text has a part that the tokenizer’s vocabulary cannot express.',
    remedy: 'Use a base model whose tokenizer covers the text; byte-level tokenizers cover everything.',
  },
} as const satisfies Record<string, CatalogueEntry>;

/** The client and its home folder. */
const clientErrors = {
  'client/not-enrolled': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'This home folder is not enrolled with a coordinator.',
    remedy: 'Run `fedlora enrol URL` with the invitation that the operator sent, or give the right folder with --home.',
  },
  'client/already-enrolled': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'This home folder is enrolled already.',
    remedy: 'Use another --home for another organisation; one identity serves one organisation.',
  },
  'client/paused': {
    blame: 'owner',
    retry: 'later',
    meaning: 'The owner has paused this client, so it takes part in no round.',
    remedy: 'Run `fedlora resume` when it may train again.',
  },
  'client/draining': {
    blame: 'owner',
    retry: 'later',
    meaning: 'The client is being stopped and withdrew from the round.',
    remedy: 'Nothing; start the client again when it may train.',
  },
  'client/stopped': {
    blame: 'owner',
    retry: 'later',
    meaning: 'The client was stopped at once, in the middle of what it did.',
    remedy: 'Nothing; start the client again.',
  },
  'resources/memory-limit': {
    blame: 'owner',
    retry: 'next-round',
    meaning: 'The client held more memory than its owner allows, and left the round.',
    remedy:
      'Raise limits.memoryMiB in config.yaml, or make training smaller: engine.tokensPerBatch, shorter rows, a smaller base model.',
  },
  'client/left': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'This organisation has left the federation.',
    remedy:
      'To take part again, have the operator invite it under the same name, then run `fedlora enrol` with this home folder.',
  },
  'client/still-running': {
    blame: 'owner',
    retry: 'later',
    meaning: 'The client that runs with this home folder does not stop.',
    remedy: 'End it, for example with `systemctl stop fedlora-client`, then run the command again.',
  },
  'client/departure-untold': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The client has stopped for good, but the coordinator could not be told.',
    remedy:
      'Run `fedlora leave` again when the coordinator can be reached, or ask its operator to suspend this organisation. Until then its runs wait for it.',
  },
  'client/not-confirmed': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'What cannot be undone was not confirmed.',
    remedy: 'Type the name of the organisation when asked, or give --yes where there is no terminal.',
  },
  'client/not-built': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'The programs were not compiled yet.',
    remedy: 'Run `npm run build` in the repository.',
  },
  'home/locked': {
    blame: 'owner',
    retry: 'later',
    exitCode: exitCodes.configuration,
    meaning: 'Another client runs with this home folder.',
    remedy: 'Stop the other one, or give this one a home folder of its own.',
  },
  'home/disk-full': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The disk of the home folder is full, or almost.',
    remedy:
      'Free some space, or move the home folder. Nothing is lost meanwhile: rounds are declined, and what was spent stays written.',
  },
  'identity/missing': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'There is no identity key.',
    remedy: 'Run `fedlora enrol`, or put identity.key back from a backup.',
  },
  'identity/exists': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'There is an identity key already; it is never replaced.',
    remedy: 'Use another --home, or remove the key yourself if it is certain that nobody needs it.',
  },
  'identity/unsafe': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'The key file can be read by other users of this machine.',
    remedy: 'Run `chmod 600` on it, and ask whether somebody may have copied it.',
  },
  'identity/malformed': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'The key file does not hold 64 hex digits.',
    remedy: 'Put it back from a backup; an identity cannot be recomputed.',
  },
  'pins/malformed': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'The file of pinned keys cannot be read.',
    remedy: 'Put pins.json back from a backup, or enrol again in a new home folder.',
  },
  'config/invalid': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'A setting has a value that it cannot have.',
    remedy: 'Correct the setting that the message names.',
  },
  'config/unknown-key': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'A file of settings has a key that is not a setting.',
    remedy: 'Correct its spelling or remove it; `fedlora config show` lists every key.',
  },
  'config/missing-value': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'Something that the command needs was not given.',
    remedy: 'Give the option or setting that the message names.',
  },
  'enrol/bad-answer': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The coordinator answered the enrolment with something that makes no sense.',
    remedy: 'Check the address; if it is right, ask the operator.',
  },
  'enrol/key-differs': {
    blame: 'coordinator',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'The coordinator has another key than the one that was expected.',
    remedy: 'Do not go on: ask the operator by another channel which key is right.',
  },
  'decisions/tampered': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'The file of decisions has a line that this program did not write.',
    remedy:
      'Find out what changed the file. Without it the client cannot promise to answer a round once; do not delete it while a round is open.',
  },
  'ledger/tampered': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'The privacy ledger was changed, or a line of it is missing.',
    remedy: 'Find out what changed it and put it back from a backup. A ledger that cannot be trusted spends nothing.',
  },
  'ledger/key-changed': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'The privacy ledger goes on under another identity key than the one in this home folder.',
    remedy:
      'Finish the change of key with `fedlora identity rotate`, or put back the identity.key that goes with the ledger.',
  },
  'identity/no-next': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'There is no new key to change to.',
    remedy: 'Make one with `fedlora identity next`, and let the operator certify it.',
  },
  'ledger/bad-record-key': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'The key by which records are known again, ledger/records.key, is not 64 hex digits.',
    remedy:
      'Put it back from a backup. If there is none, remove it: then the spending of every other data set counts for the present one, since nobody can tell which records it had.',
  },
  'ledger/in-use': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'A ledger or a list of decisions was written by another process while this one had it open.',
    remedy: 'Stop every client that uses this home folder, also on other machines, then start one.',
  },
} as const satisfies Record<string, CatalogueEntry>;

/** What travels between client and coordinator. */
const connectionErrors = {
  'connection/unreachable': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The coordinator does not answer.',
    remedy: 'Check the address and the network; the client tries again by itself.',
  },
  'connection/untrusted-certificate': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The coordinator’s TLS certificate is not one that this machine trusts: nothing was sent.',
    remedy:
      'Ask the operator, by another channel, whether it was replaced. Where it is of an authority of your own, name the authority’s file in NODE_EXTRA_CA_CERTS; one that is out of its time may mean that a clock is wrong.',
  },
  'connection/refused': {
    blame: 'coordinator',
    retry: 'later',
    meaning: 'The coordinator refused a request.',
    remedy: 'See the reason in the message; ask the operator if it stays.',
  },
  'connection/bad-answer': {
    blame: 'coordinator',
    retry: 'later',
    meaning: 'The coordinator answered with something that makes no sense.',
    remedy: 'Check the address, and that client and coordinator have compatible versions.',
  },
  'upload/refused': {
    blame: 'coordinator',
    retry: 'next-round',
    meaning: 'The coordinator does not take the masked update.',
    remedy: 'The round is lost for this client; look at the coordinator if it repeats.',
  },
  'pull/not-loaded': {
    blame: 'environment',
    retry: 'later',
    meaning: 'A version was pulled and checked, but what was to load it did not.',
    remedy: 'Look at the log of the server or command; with --watch it is told again.',
  },
  'adapter/not-authentic': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The adapter is not what its coordinator published.',
    remedy: 'Do not load it. Fetch the version again, and if it is the same then, ask the operator of the coordinator.',
  },
  'version/malformed': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The record of an adapter version is malformed or names files that no version has.',
    remedy:
      'Check that client and coordinator have compatible versions; if they have, treat the coordinator as hostile.',
  },
  'version/bad-signature': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'An adapter version is not signed by the pinned coordinator key.',
    remedy: 'Treat the coordinator, or whoever stands between, as hostile until it is explained.',
  },
  'version/wrong-id': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'An adapter version is not the one that was asked for.',
    remedy: 'Treat the coordinator as hostile until it is explained.',
  },
  'version/file-mismatch': {
    blame: 'coordinator',
    retry: 'next-round',
    meaning: 'A file of an adapter version is not the one that its record names: cut short, altered or too long.',
    remedy:
      'The client fetches it again in the next round; if it repeats, look for a faulty proxy or a hostile coordinator.',
  },
  'version/wrong-run': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The adapter version of an offer belongs to other terms than the offer.',
    remedy: 'Treat the coordinator as hostile until it is explained.',
  },
  'version/not-its-product': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The A and B that a version publishes are not what its factor R and the run’s frozen factors give.',
    remedy: 'Treat the coordinator as hostile until it is explained.',
  },
} as const satisfies Record<string, CatalogueEntry>;

/** Why a client does not take part in a round. */
const roundErrors = {
  'roster-memory/damaged': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The file with the members and revoked keys that this client remembers was changed or cut.',
    remedy:
      'Ask the operator by another channel for the epoch of the newest revocation list; then remove roster.json from the home folder and start again.',
  },
  'offer/malformed': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The offer of a round cannot be read.',
    remedy: 'Check that client and coordinator have compatible versions.',
  },
  'offer/bad-signature': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The terms of a run are not signed by the pinned coordinator key.',
    remedy: 'Treat the coordinator, or whoever stands between, as hostile until it is explained.',
  },
  'offer/roster-mismatch': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The roster of an offer is not the one that its terms name.',
    remedy: 'Treat the coordinator as hostile until it is explained.',
  },
  'offer/not-a-member': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The roster of an offer does not name this organisation with its key.',
    remedy: 'Ask the operator to certify this organisation’s key and to start a run with it.',
  },
  'offer/session-reused': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'A round was offered for the second time: this client has taken part in it before.',
    remedy: 'Nothing; each round is joined once. If it repeats, look at the coordinator.',
  },
  'offer/delta-too-large': {
    blame: 'operator',
    retry: 'never',
    meaning: 'Delta is so large that giving away one whole row would count as private.',
    remedy: 'Ask the operator for a delta below one over the number of rows.',
  },
  'offer/dataset-too-large': {
    blame: 'operator',
    retry: 'never',
    meaning: 'With this many rows the largest number of records a round may be passed by chance.',
    remedy: 'Ask the operator for a larger maximumRecords or a lower sampling rate.',
  },
  'offer/terms-changed': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The privacy ledger has charges of a run of this name under other terms.',
    remedy: 'Treat the coordinator as hostile until it is explained; the terms of a run never change.',
  },
  'base-model/digest-mismatch': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The base model on this machine is not the one that the run trains.',
    remedy: 'Fetch the model that the message names; `fedlora base digest DIR` prints what is there.',
  },
  'base-model/chat-template-mismatch': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.model,
    meaning: 'The base model’s chat template is not the one that the run names.',
    remedy:
      'Get the tokenizer_config.json, or chat_template.jinja, that goes with the base model of the run; `fedlora base digest --chat-template` shows which is here.',
  },
  'base-model/modules-mismatch': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The adapter’s layout does not fit the base model.',
    remedy: 'The operator’s description of the base model is wrong; ask for a new run.',
  },
  'round/forgotten': {
    blame: 'environment',
    retry: 'next-round',
    meaning: 'The client was started again in the middle of the round, and the round’s secrets are gone.',
    remedy: 'Nothing: the next round works.',
  },
  'round/too-many-records': {
    blame: 'environment',
    retry: 'next-round',
    meaning: 'More records were sampled than a round may have; a chance below 2^-60.',
    remedy: 'Nothing: the next round works. If it repeats, report it as a bug.',
  },
  'round/out-of-order': {
    blame: 'coordinator',
    retry: 'never',
    meaning: 'The coordinator asked for a step of a round that this client is not in.',
    remedy: 'Treat the coordinator as hostile if it repeats.',
  },
  'round/deadline-passed': {
    blame: 'coordinator',
    retry: 'next-round',
    meaning: 'The coordinator said nothing more about a round for longer than its terms allow.',
    remedy: 'Nothing: the next round may work.',
  },
  'round/superseded': {
    blame: 'coordinator',
    retry: 'next-round',
    meaning: 'Another round was offered before this one was over.',
    remedy: 'Nothing: the newer round goes on.',
  },
  'round/aborted': {
    blame: 'coordinator',
    retry: 'next-round',
    meaning: 'The coordinator ended the round before it was done.',
    remedy: 'See the cause that the coordinator gave; the next round may work.',
  },
} as const satisfies Record<string, CatalogueEntry>;

/** The owner’s refusals. */
const policyErrors = {
  'policy/missing': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'There is no policy file, so no terms are acceptable.',
    remedy: 'Run `fedlora policy init` and read what it wrote.',
  },
  'policy/exists': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'There is a policy file already.',
    remedy: 'Edit it, or replace it with --force.',
  },
  'policy/epsilon-cap': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The round would spend more privacy than the owner allows for the data set.',
    remedy:
      'This is the end of the budget of the data set’s records; `fedlora privacy` shows how it was spent, also under other names. Only the owner can raise epsilonCap.',
  },
  'policy/epsilon-cap-of-period': {
    blame: 'owner',
    retry: 'later',
    meaning: 'The round would spend more privacy than the owner allows for the data set within the period.',
    remedy: 'It goes on by itself when earlier rounds are old enough; only the owner can raise epsilonCapPerPeriod.',
  },
  'policy/awaiting-approval': {
    blame: 'owner',
    retry: 'later',
    meaning: 'The owner wants to approve each manifest, and has not approved this one.',
    remedy: 'Read it with `fedlora policy explain`, then `fedlora policy approve` names it.',
  },
  'policy/unknown-offer': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'No manifest of this hash was offered to this client.',
    remedy: 'Choose one of those that `fedlora policy offers` lists.',
  },
  'policy/too-few-colluders-assumed': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The noise counts on more members to be honest than the owner’s policy does.',
    remedy: 'Ask for more assumed colluders, or change leastAssumedColluders.',
  },
  'policy/declined': {
    blame: 'owner',
    retry: 'never',
    meaning: 'This organisation declines; its own log says why, and nobody else is told.',
    remedy: 'Ask the owner, who finds the reason with `fedlora status`.',
  },
  'policy/delta-too-large': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The delta of the run is larger than the owner’s policy allows.',
    remedy: 'Ask for a smaller delta, or change maximumDelta.',
  },
  'policy/no-differential-privacy': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The run adds no noise, and the owner’s policy demands differential privacy.',
    remedy: 'Ask for a run with unit "record", "record-local" or "client".',
  },
  'policy/unit-not-allowed': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The owner’s policy does not allow what the run protects.',
    remedy: 'Ask for a run with another unit, or change allowedUnits.',
  },
  'policy/units-mixed': {
    blame: 'owner',
    retry: 'never',
    meaning:
      'The data set took part in rounds that protect rows, so no promise for the whole organisation can be made any more.',
    remedy: 'Use a run of unit "record" or "record-local", or other data under another dataset name.',
  },
  'policy/too-few-contributors': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The run adds up fewer organisations than the owner’s policy demands.',
    remedy: 'Ask for more contributors, or change minimumContributors.',
  },
  'policy/threshold-too-low': {
    blame: 'owner',
    retry: 'never',
    meaning: 'Fewer organisations must agree to uncover a sum than the owner’s policy demands.',
    remedy: 'Ask for a higher threshold, or change leastThreshold.',
  },
  'policy/sampling-rate-too-high': {
    blame: 'owner',
    retry: 'never',
    meaning: 'A row takes part in a round more often than the owner’s policy allows.',
    remedy: 'Ask for a lower sampling rate, or change maximumSamplingRate.',
  },
  'policy/bound-too-large': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The clipping bound is larger than the owner’s policy allows.',
    remedy: 'Ask for a smaller bound, or change maximumL2Bound.',
  },
  'policy/evaluation-not-allowed': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The run measures the adapter on rows held out from training, which the owner’s policy does not allow.',
    remedy: 'Ask for a run without evaluation, or change evaluation in policy.yaml.',
  },
  'policy/canaries-not-allowed': {
    blame: 'owner',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'A file of canaries is named in config.yaml, and the owner allows none.',
    remedy:
      'Set `canaries: "allowed"` in policy.yaml if the owner wants an audit; else take `dataset.canaries` out of config.yaml.',
  },
  'policy/base-not-allowed': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The owner’s policy does not allow this base model.',
    remedy: 'Add its digest to allowedBases (`fedlora base digest DIR` prints it).',
  },
} as const satisfies Record<string, CatalogueEntry>;

// ---- Coordinator: appended by coordinator/src. ----

const coordinatorErrors = {
  'data-folder/locked': {
    blame: 'operator',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'Another coordinator already runs on this data folder.',
    remedy: 'Stop the other process, or give this one a folder of its own.',
  },
  'database/unreachable': {
    blame: 'environment',
    retry: 'later',
    meaning: 'PostgreSQL does not answer.',
    remedy:
      'See whether the server runs and can be reached from here; what was to be stored is not, and is tried again.',
  },
  'database/refused': {
    blame: 'operator',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'PostgreSQL does not let the coordinator in.',
    remedy: 'Correct the user, password, database or certificate that the message names in FEDLORA_DATABASE_URL.',
  },
  'data-folder/foreign': {
    blame: 'operator',
    retry: 'never',
    exitCode: exitCodes.configuration,
    meaning: 'The data folder belongs to a newer version or another federation.',
    remedy: 'Start the version that made it, with the federation key that it was made with.',
  },
  'request/invalid': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The request does not have the form that its route or event takes.',
    remedy: 'Correct the fields that the message names.',
  },
  'request/not-found': {
    blame: 'operator',
    retry: 'never',
    meaning: 'There is nothing under this address.',
    remedy: 'Check the address against the API page.',
  },
  'request/unsupported-type': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The body is of a type that the route does not take.',
    remedy: 'Send JSON, with content-type application/json.',
  },
  'request/changed': {
    blame: 'operator',
    retry: 'never',
    meaning: 'What was to be changed is not what was looked at: somebody else changed it.',
    remedy: 'Read it again, and decide anew.',
  },
  'request/key-reused': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The idempotency key was used for another request.',
    remedy: 'Take a fresh random key for every new request.',
  },
  'request/in-progress': {
    blame: 'operator',
    retry: 'later',
    meaning: 'The request with this idempotency key is still being done.',
    remedy: 'Wait, and send the same again.',
  },
  'request/outcome-unknown': {
    blame: 'environment',
    retry: 'never',
    meaning: 'The request with this idempotency key was cut off when the coordinator ended; it may have been done.',
    remedy: 'Look whether it was done; if not, send it again with a fresh key.',
  },
  'request/too-many': {
    blame: 'operator',
    retry: 'later',
    meaning: 'Too many requests in a short time.',
    remedy: 'Wait as many seconds as the header retry-after says.',
  },
  'request/too-large': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The request is larger than its route allows.',
    remedy: 'Send less at a time.',
  },
  'session/required': {
    blame: 'peer',
    retry: 'later',
    meaning: 'The request needs a sign-in, a client’s session or an API token that is valid.',
    remedy: 'Sign in again, or ask for a new API token.',
  },
  'session/not-allowed': {
    blame: 'peer',
    retry: 'never',
    meaning: 'Who asks may not do this.',
    remedy: 'Ask an administrator for the role or permission; taking part in rounds is for clients only.',
  },
  'session/challenge-spent': {
    blame: 'peer',
    retry: 'later',
    meaning: 'The challenge is unknown, was used already or is older than a minute.',
    remedy: 'Ask for a new challenge and sign it at once.',
  },
  'session/unknown-identity': {
    blame: 'operator',
    retry: 'later',
    meaning: 'No enrolled organisation has this identity key.',
    remedy: 'Enrol first with an invitation of the operator.',
  },
  'session/pending': {
    blame: 'operator',
    retry: 'later',
    meaning: 'The organisation is enrolled, but the federation key has not certified it yet.',
    remedy:
      'Compare fingerprints with the operator, who then brings the certificate; the client tries again by itself.',
  },
  'session/wire-version': {
    blame: 'operator',
    retry: 'never',
    meaning: 'Client and coordinator speak different versions of the wire protocol.',
    remedy: 'Bring both programs to the same release.',
  },
  'session/hello-first': {
    blame: 'us',
    retry: 'never',
    meaning: 'The client spoke before it said hello.',
    remedy: 'Report this as a bug of the client.',
  },
  'enrol/token-unknown': {
    blame: 'operator',
    retry: 'never',
    meaning: 'No invitation has this token.',
    remedy: 'Ask the operator for a new invitation.',
  },
  'enrol/token-spent': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The invitation was already used.',
    remedy: 'Ask the operator for a new invitation, and who used the first.',
  },
  'enrol/token-expired': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The invitation has expired.',
    remedy: 'Ask the operator for a new invitation.',
  },
  'enrol/token-withdrawn': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The operator has withdrawn the invitation.',
    remedy: 'Ask the operator for a new invitation.',
  },
  'enrol/wrong-name': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The invitation was made out to another organisation.',
    remedy: 'Use the name that the operator wrote on the invitation.',
  },
  'enrol/name-taken': {
    blame: 'operator',
    retry: 'never',
    meaning: 'An organisation of this name, or with this key, is already enrolled.',
    remedy: 'Choose another name, or a new key.',
  },
  'enrol/unknown-organisation': {
    blame: 'operator',
    retry: 'never',
    meaning: 'No organisation of this name is enrolled.',
    remedy: 'Check the spelling against the list of organisations.',
  },
  'enrol/unknown-invitation': {
    blame: 'operator',
    retry: 'never',
    meaning: 'There is no such invitation.',
    remedy: 'Look at the list of invitations.',
  },
  'enrol/invitation-ended': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The invitation was used already, so it cannot be withdrawn.',
    remedy: 'Do not certify the organisation that used it, or suspend it; revoke its key if it was certified already.',
  },
  'organisation/suspended': {
    blame: 'operator',
    retry: 'later',
    meaning: 'An operator has suspended the organisation: it is offered no rounds.',
    remedy: 'Settle the reason with the operator, who then reinstates it.',
  },
  'organisation/left': {
    blame: 'owner',
    retry: 'never',
    meaning: 'The organisation has left the federation.',
    remedy: 'To take part again, have the operator invite it under the same name, then enrol.',
  },
  'organisation/not-suspended': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The organisation is not suspended.',
    remedy: 'There is nothing to do: it is offered rounds.',
  },
  'run/unknown': {
    blame: 'operator',
    retry: 'never',
    meaning: 'There is no run with this id.',
    remedy: 'Look it up in the list of runs.',
  },
  'run/not-running': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The run has ended already.',
    remedy: 'Start a new run.',
  },
  'run/not-paused': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The run is not paused, so it cannot be resumed.',
    remedy: 'Look at its status: a running run goes on by itself, and one that has ended needs a new run.',
  },
  'run/invalid-description': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The run description cannot become a manifest.',
    remedy: 'Change what the message names and send it again.',
  },
  'coordinator/blobs-unavailable': {
    blame: 'operator',
    retry: 'later',
    meaning: 'The S3 bucket in which the coordinator keeps versions and contributions does not do what it is asked.',
    remedy:
      'Check that the bucket of blobs.s3 exists, that its server answers, and that the keys may list, read, write and delete there.',
  },
  'coordinator/not-ready': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The coordinator cannot do its work at the moment.',
    remedy: 'Wait if it is shutting down; else see whether the disk of its data folder is full or read-only.',
  },
  'coordinator/busy': {
    blame: 'environment',
    retry: 'later',
    meaning: 'More is asked of the coordinator at the same moment than it does at once or lets wait.',
    remedy: 'Come again after as many seconds as the header retry-after says; clients do so by themselves.',
  },
  'coordinator/standing-by': {
    blame: 'environment',
    retry: 'later',
    meaning: 'This coordinator stands by: another one drives the rounds.',
    remedy: 'Ask again: the proxy in front should send you to a coordinator whose /readyz answers with 200.',
  },
  'coordinator/driver-lost': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The coordinator that drives the rounds went away before it answered; it may have done what was asked.',
    remedy: 'Ask again in a few seconds, a change with the same Idempotency-Key: then nothing is done twice.',
  },
  'coordinator/relay-refused': {
    blame: 'operator',
    retry: 'later',
    meaning: 'What one coordinator passed on to another is too old, or came a second time.',
    remedy: 'Set the clocks of both machines (NTP): they may differ by half a minute.',
  },
  'schedule/invalid': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The schedule does not fit the run, or contradicts itself.',
    remedy: 'Change the fields that the message names; a preview says what is wrong without changing anything.',
  },
  'round/unknown': {
    blame: 'peer',
    retry: 'never',
    meaning: 'There is no such round.',
    remedy: 'Wait for the next offer.',
  },
  'round/over': {
    blame: 'environment',
    retry: 'next-round',
    meaning: 'The round has ended.',
    remedy: 'Wait for the next round.',
  },
  'round/not-a-participant': {
    blame: 'peer',
    retry: 'next-round',
    meaning: 'This organisation does not take part in the round, or not any more.',
    remedy: 'Wait for the next round.',
  },
  'round/wrong-phase': {
    blame: 'environment',
    retry: 'next-round',
    meaning: 'The round is in another phase.',
    remedy: 'Answer the request that is open; it is repeated after every hello.',
  },
  'round/already-answered': {
    blame: 'peer',
    retry: 'never',
    meaning: 'The phase was already answered with other bytes; the first answer stands.',
    remedy: 'Treat the client as faulty or hostile if it repeats.',
  },
  'round/impersonation': {
    blame: 'peer',
    retry: 'never',
    meaning: 'The message names another participant than the one who sent it.',
    remedy: 'Treat the client as faulty or hostile.',
  },
  'upload/wrong-offset': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The piece does not begin where the stored bytes end.',
    remedy: 'Ask with HEAD how much is stored and continue there.',
  },
  'upload/wrong-length': {
    blame: 'peer',
    retry: 'never',
    meaning: 'The contribution has another length than the run calls for.',
    remedy: 'Check that client and coordinator run compatible versions.',
  },
  'upload/wrong-hash': {
    blame: 'peer',
    retry: 'next-round',
    meaning: 'The stored contribution is not the one that its receipt signs.',
    remedy: 'The next round may work; look for a faulty disk or proxy if it repeats.',
  },
  'upload/busy': {
    blame: 'environment',
    retry: 'later',
    meaning: 'Another piece of this contribution is being received.',
    remedy: 'Wait for it to end and ask with HEAD how much is stored.',
  },
  'round/reply-waiting': {
    blame: 'environment',
    retry: 'later',
    meaning: 'An answer of this participant to the phase is still being handled.',
    remedy: 'Wait for its outcome; the coordinator asks again if it needs another.',
  },
  'aggregation/sum-over-bound': {
    blame: 'peer',
    retry: 'next-round',
    meaning: 'The sum is longer than honest contributions and their noise can make it.',
    remedy: 'A participant did not clip. Compare the rounds in which it took part, and suspend it.',
  },
  'version/unknown': {
    blame: 'operator',
    retry: 'never',
    meaning: 'There is no such adapter version, or it has no such file.',
    remedy: 'Look it up in the list of versions.',
  },
  'version/damaged': {
    blame: 'environment',
    retry: 'never',
    meaning: 'A stored adapter version or its training state is not what its record says.',
    remedy: 'Restore the data folder from a backup; look for a faulty disk.',
  },
} as const satisfies Record<string, CatalogueEntry>;

// ---- What is released: coordinator/src/release. ----

const releaseErrors = {
  'version/revoked': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The adapter version was revoked: its files are given to nobody any more.',
    remedy: 'Use the version that the channel has now, and delete copies of this one.',
  },
  'version/impossible-audit': {
    blame: 'operator',
    retry: 'never',
    meaning: 'No audit has these counts: more guesses than canaries, or more of them right than there were.',
    remedy: 'Send what `fedlora audit measure --json` wrote, as it wrote it.',
  },
  'version/audited-otherwise': {
    blame: 'operator',
    retry: 'never',
    meaning: 'Another result was already reported for the canaries of this seal and this version.',
    remedy:
      'An audit counts once: of several results nobody could tell which was chosen. Make new canaries for another audit.',
  },
  'version/no-revision': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The repository has no version under this revision.',
    remedy: 'Name a channel that has a version, a version’s id, or main; main is the stable version.',
  },
  'version/no-file': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The version has no file of this name.',
    remedy: 'Look at the list of its files.',
  },
  'repository/unknown': {
    blame: 'operator',
    retry: 'never',
    meaning: 'There is no adapter repository of this name.',
    remedy: 'Look it up in the list of repositories; a name is owner/name.',
  },
  'tag/unknown': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The repository has no tag of this name.',
    remedy: 'Look at the tags of the repository.',
  },
  'outcomes/unknown-metric': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The report names a metric that was not declared.',
    remedy: 'Declare it with `fedlora admin outcomes declare`, or report one of those that the message lists.',
  },
  'outcomes/impossible': {
    blame: 'operator',
    retry: 'never',
    meaning: 'No outcomes of this metric have these sums.',
    remedy: 'Check how the service adds up; nothing of the report was counted.',
  },
  'outcomes/invalid-metric': {
    blame: 'operator',
    retry: 'never',
    meaning: 'This cannot be a metric of outcomes.',
    remedy: 'Declare a proportion without bounds, or a score with a minimum below its maximum.',
  },
  'outcomes/metric-fixed': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The metric was declared before with another kind or other bounds, and what was reported of it has those.',
    remedy: 'Take another name for it.',
  },
  'tag/taken': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The name stands for something else already, and a tag never moves.',
    remedy: 'Take another name, or a channel for a name that is to move.',
  },
  'tag/invalid': {
    blame: 'operator',
    retry: 'never',
    meaning: 'This cannot be the name of a tag.',
    remedy:
      'Use lower-case letters and digits, with single dots, hyphens or underscores between them; not main, not an id.',
  },
  'channel/unknown': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The repository has no channel of this name.',
    remedy: 'Look at the channels of the repository; promoting a version to a new name makes one.',
  },
  'channel/fixed': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The channel cannot be changed in this way.',
    remedy: 'Promote to another channel; "candidate" follows what runs publish, and leaves a version that is revoked.',
  },
  'channel/gate': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The version does not pass the release gate.',
    remedy: 'Read the reasons of the gate; to promote it all the same, say why in override, which the audit log keeps.',
  },
  'channel/no-previous': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The channel has no previous version to go back to.',
    remedy: 'Promote the version that it should have, or revoke the one that it has.',
  },
} as const satisfies Record<string, CatalogueEntry>;

// ---- Who may operate: coordinator/src/access. ----

const accessErrors = {
  'access/wrong-credentials': {
    blame: 'operator',
    retry: 'never',
    meaning: 'Name, password or code are not right together.',
    remedy: 'Try again with care: after five wrong tries a name is locked for a while.',
  },
  'access/second-factor-required': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The user has a second factor, and no code was given.',
    remedy: 'Give the six digits that the authenticator shows, or a recovery code.',
  },
  'access/locked': {
    blame: 'operator',
    retry: 'later',
    meaning: 'The name is locked after too many wrong tries.',
    remedy: 'Wait as long as the answer says; an administrator can give a new set-up link, which unlocks at once.',
  },
  'access/cross-site': {
    blame: 'peer',
    retry: 'never',
    meaning: 'A change was asked for with a cookie but without its page’s token.',
    remedy: 'Send the `x-csrf-token` that the sign-in gave, or use an API token.',
  },
  'access/wrong-scope': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The rights of who asks are limited to certain runs, and this is not one of them.',
    remedy: 'Ask an administrator to widen the scope.',
  },
  'access/link-spent': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The set-up link is unknown, was used already or has expired.',
    remedy: 'Ask an administrator for a new link; without any, `fedlora-coordinator admin-link` makes one.',
  },
  'access/weak-password': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The password can be guessed.',
    remedy: 'Take one of 12 characters or more that is neither the name nor one character repeated.',
  },
  'access/name-taken': {
    blame: 'operator',
    retry: 'never',
    meaning: 'A user of this name exists.',
    remedy: 'Choose another name.',
  },
  'access/unknown-user': {
    blame: 'operator',
    retry: 'never',
    meaning: 'There is no such user.',
    remedy: 'Look the user up in the list.',
  },
  'access/unknown-token': {
    blame: 'operator',
    retry: 'never',
    meaning: 'There is no such API token, or it belongs to somebody else.',
    remedy: 'Look the token up in the list.',
  },
  'access/unknown-sign-in': {
    blame: 'operator',
    retry: 'never',
    meaning: 'There is no such sign-in; it may have ended.',
    remedy: 'Look it up in the list.',
  },
  'access/last-admin': {
    blame: 'operator',
    retry: 'never',
    meaning: 'Without this user nobody could administer the coordinator.',
    remedy: 'Make another user an administrator first.',
  },
  'access/beyond-own-rights': {
    blame: 'operator',
    retry: 'never',
    meaning: 'An API token would have rights that whoever asks for it does not have.',
    remedy: 'Ask for permissions and runs that are your own.',
  },
  'access/no-provider': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The coordinator has no identity provider to sign in with.',
    remedy: 'Sign in with name and password, or configure `oidc` (coordinator/README.md).',
  },
  'access/provider-unreachable': {
    blame: 'environment',
    retry: 'later',
    meaning: 'The identity provider does not answer as it should.',
    remedy:
      'Try again later; if it stays, compare `oidc.issuer` with the address that the provider’s discovery document names.',
  },
  'access/provider-refused': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The identity provider did not sign the user in.',
    remedy: 'Begin the sign-in again; if it stays, look into the provider’s own log, and at the client id and secret.',
  },
  'access/provider-answer': {
    blame: 'peer',
    retry: 'never',
    meaning: 'The identity provider’s answer cannot be trusted.',
    remedy:
      'Set the clocks of both machines, and compare the issuer, the client id and the names of claims on both sides.',
  },
  'access/sign-in-spent': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The answer belongs to no sign-in that this browser began within ten minutes and has not finished yet.',
    remedy: 'Begin the sign-in again, in the same browser, with cookies allowed.',
  },
  'access/no-role': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The identity provider gives the user no role here.',
    remedy: 'Ask whoever manages the provider for a group that `oidc.roles` maps to a role.',
  },
  'access/user-disabled': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The user is disabled.',
    remedy: 'Ask an administrator to enable the user.',
  },
  'access/provider-user': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The identity provider signs this user in and says the role.',
    remedy: 'Change the role at the provider; here the user can be limited to runs and disabled.',
  },
  'access/second-factor-state': {
    blame: 'operator',
    retry: 'never',
    meaning: 'The second factor is not in the state that this step needs.',
    remedy: 'Begin it with POST /api/v1/me/totp, then confirm; remove the one in use before a new one.',
  },
  'audit/broken-chain': {
    blame: 'environment',
    retry: 'never',
    exitCode: exitCodes.state,
    meaning: 'The audit log was changed, or the export is not whole.',
    remedy: 'Compare with an earlier export; who could write to the database or the file is a suspect.',
  },
} as const satisfies Record<string, CatalogueEntry>;

export const errorCatalogue = {
  ...protocolErrorCatalogue,
  ...generalErrors,
  ...safetensorsErrors,
  ...baseModelErrors,
  ...engineErrors,
  ...ggufErrors,
  ...bitsAndBytesErrors,
  ...downloadErrors,
  ...adapterErrors,
  ...dataErrors,
  ...tokenizerErrors,
  ...clientErrors,
  ...connectionErrors,
  ...roundErrors,
  ...policyErrors,
  ...coordinatorErrors,
  ...releaseErrors,
  ...accessErrors,
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof errorCatalogue;

/** Codes that `FedloraError` carries; the protocol throws its own class. */
export type FedloraErrorCode = ErrorCode;

/** Whether a text that came from outside is one of our codes. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCatalogue, text);
}

/** The entry of a code, at the general type. */
export function errorEntry(code: ErrorCode): CatalogueEntry {
  return errorCatalogue[code];
}

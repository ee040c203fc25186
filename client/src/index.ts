/** The public face of the client: what the tests, the demo and programs that embed a daemon need. */

export { homeAt, homeFrom, makeHome, type Home } from './config/home.js';
export { readConfig, writeConfig, type ClientConfig } from './config/client-config.js';
export { readPolicy, writePolicy } from './config/policy-file.js';
export { CLIENT_VERSION, startDaemon, type RunningDaemon, type StartOptions } from './daemon/start.js';
export { createLog } from './daemon/log.js';
export { readStatus, type Status } from './daemon/status-file.js';
export { enrolHome, type Enrolled, type Enrolment } from './cli/enrol-home.js';
export { describeBase, noiseWithin, samplingFor } from './cli/run-draft.js';
export { runCommand } from './cli/program.js';
export { processContext, type CliContext } from './cli/context.js';
export {
  evaluateExamples,
  evaluateFile,
  openLocalModel,
  type FileEvaluation,
  type LocalModel,
} from './cli/local-model.js';
export { trainLocally, writeAdapter, type LocalTrainingOptions } from './cli/train-local.js';
export { answerQuestion, type Answer, type Question } from './cli/answer.js';
export { toBatches } from './data/batches.js';
export { poissonSample } from './data/poisson.js';
export { readRows } from './data/rows.js';
export { loadTokenizer, tokenizePrompt, tokenizeRows, type Example, type TrainingTokenizer } from './data/tokenize.js';
export * from './engine/engine.js';
export { openEngine, type OpenedEngine } from './engine/open-engine.js';
export { createOnnxEngine, type OnnxEngineOptions } from './engine/onnx/engine.js';
export { memoryPlan } from './engine/onnx/memory-plan.js';
export type { BaseModel, ModelConfig } from './engine/weights/base-model.js';
export { baseModelDigest, expectedTensors, openBaseModel, parseModelConfig } from './engine/weights/hugging-face.js';
export { quantizedLinear } from './engine/weights/nf4-store.js';
export { learn, type LearnParts } from './round/learn.js';
export { makePrivate } from './round/make-private.js';
export type { RoundExample } from './round/round-example.js';
export { judge, refuse, type Outlook, type PolicyTerms, type Verdict } from './round/policy.js';
export { OfferVerifier, type OfferParts, type VerifiedRound } from './round/verify-offer.js';
export { contribute, type Contribution } from './round/contribute.js';
export { mergeIntoBase, type MergeIntoBase } from './storage/merge-into-base.js';
export { createIdentity, readIdentity, type Identity } from './storage/identity.js';
export { Ledger, readLedger } from './storage/ledger.js';
export type { Charge, LedgerEntry } from './storage/ledger-chain.js';

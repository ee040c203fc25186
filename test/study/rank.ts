/**
 * Which of a closed set of labels an adapted model finds likeliest, as multiple choice is measured: the label whose tokens have the
 * largest sum of log-probabilities after the question (the log of the label's probability as an answer, its end of text included).
 *
 * Source     "acc" of lm-evaluation-harness (Gao et al.); here without computing every label of every question: no label is likelier
 *            than its beginning, so that the likeliest beginnings are continued until one of them is whole. The label is the same.
 */

import { toBatches, type Engine, type Example } from '@fedlora/client';

const EXAMPLES_PER_BATCH = 128;
const TOKENS_PER_BATCH = 8192;

/** Tokens that labels begin with. A whole label has no child. */
export interface LabelTree {
  readonly children: Map<number, LabelTree>;
}

/** The beginning of a label after a question. */
interface Beginning {
  readonly tokens: readonly number[];
  readonly logProbability: number;
  readonly node: LabelTree;
}

/** All the answers that these examples have, each once. */
export function labelTree(examples: readonly Example[]): LabelTree {
  const root: LabelTree = { children: new Map() };
  for (const { ids, answerStart } of examples) {
    let node = root;
    for (const id of ids.subarray(answerStart)) {
      const next = node.children.get(id) ?? { children: new Map<number, LabelTree>() };
      node.children.set(id, next);
      node = next;
    }
  }
  return root;
}

/** How many labels the tree has. */
export function labelCount({ children }: LabelTree): number {
  if (children.size === 0) return 1;
  return [...children.values()].reduce((sum, child) => sum + labelCount(child), 0);
}

/** The likeliest label of each example, as tokens with its end; of equals, one. What the examples' own answers are is not looked at. */
export async function likeliestLabels(
  engine: Pick<Engine, 'logits' | 'maximumLength' | 'vocabularySize'>,
  examples: readonly Example[],
  labels: LabelTree,
): Promise<readonly (readonly number[])[]> {
  const open = examples.map((): Beginning[] => [{ tokens: [], logProbability: 0, node: labels }]);
  const found: (readonly number[])[] = [];
  for (let left = examples.map((_, i) => i); left.length > 0;) {
    const best = new Map<number, Beginning>();
    for (const i of left) {
      const beginning = takeLikeliest(open[i]);
      if (beginning.node.children.size === 0) found[i] = beginning.tokens;
      else best.set(i, beginning);
    }
    left = [...best.keys()];
    const texts = [...best].map(([row, { tokens }]): Example => {
      const { ids, answerStart } = examples[row];
      const text = Int32Array.of(...ids.subarray(0, answerStart), ...tokens);
      return { ids: text, answerStart: text.length, row };
    });
    const batches = toBatches(
      texts,
      texts.map((_, i) => i),
      {
        maximumExamples: EXAMPLES_PER_BATCH,
        maximumTokens: TOKENS_PER_BATCH,
        maximumLength: engine.maximumLength,
      },
    );
    for (const batch of batches) {
      const lengths = Int32Array.from(batch.indices, (i) => texts[i].ids.length);
      const logits = await engine.logits(batch, lengths);
      batch.indices.forEach((index, b) => {
        const row = logits.subarray(b * engine.vocabularySize, (b + 1) * engine.vocabularySize);
        const total = logSumExp(row);
        const example = texts[index].row;
        const { tokens, logProbability, node } = best.get(example) as Beginning; // Safe: texts are made of `best`.
        for (const [id, child] of node.children)
          open[example].push({
            tokens: [...tokens, id],
            logProbability: logProbability + row[id] - total,
            node: child,
          });
      });
    }
  }
  return found;
}

/** Of each example, whether its own answer is the likeliest label. */
export async function rightlyRanked(
  engine: Pick<Engine, 'logits' | 'maximumLength' | 'vocabularySize'>,
  examples: readonly Example[],
  labels: LabelTree,
): Promise<readonly boolean[]> {
  const found = await likeliestLabels(engine, examples, labels);
  return examples.map(({ ids, answerStart }, i) => {
    const own = ids.subarray(answerStart);
    return own.length === found[i].length && own.every((id, at) => id === found[i][at]);
  });
}

/** Mean over organisations of the share of their first so many test rows that have the commonest answer of all training rows. */
export function commonestShare(
  organisations: readonly { readonly training: readonly Example[]; readonly test: readonly Example[] }[],
  rankedRows: number,
): number {
  const answerOf = ({ ids, answerStart }: Example): string => ids.subarray(answerStart).join(' ');
  const counts = new Map<string, number>();
  for (const answer of organisations.flatMap(({ training }) => training.map(answerOf)))
    counts.set(answer, (counts.get(answer) ?? 0) + 1);
  const [[commonest]] = [...counts].sort(([, one], [, other]) => other - one);
  const shares = organisations.map(({ test }) => {
    const asked = test.slice(0, rankedRows);
    return asked.filter((example) => answerOf(example) === commonest).length / asked.length;
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function takeLikeliest(open: Beginning[]): Beginning {
  let at = 0;
  for (let i = 1; i < open.length; i += 1) if (open[i].logProbability > open[at].logProbability) at = i;
  return open.splice(at, 1)[0];
}

function logSumExp(logits: Float32Array): number {
  let largest = -Infinity;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return largest + Math.log(sum);
}

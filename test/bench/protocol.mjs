/**
 * What one secure aggregation costs: `npm run bench:protocol -- [--json] [--case NAME]... [--list] [--no-growth] [--no-build]`.
 *
 * Every case runs in a process of its own, with real encodings, signatures, the consistency check and exact noise; what the other
 * side does is not counted. `cpuSeconds` is the median after one warm-up run, `firstCpuSeconds` that of the first run of a process.
 * Where a case has a target, `ours.target` holds it. `ours.growth` shows the same measurement for other n and d.
 * There is no peer: no other implementation of this protocol (signed, with the consistency check and noise) can be installed from
 * the registries that the build uses.
 *
 *     client  one participant: clip, quantize, noise, keys, shares, masks, hash of the words, all signatures and checks, unmask answer
 *     server  the coordinator: checks of all messages as they come and as they are planned, words read from disk twice (hash, sum),
 *             share recovery, unmasking
 *     sim     all participants and the coordinator of a cohort over a graph in one process, a share of whom drop out
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** Noise shares of this width, in steps: that of ten participants with a sum of a few thousand steps. */
const SHARE_STDDEV = 900;
/** A vector is read from disk in pieces of this many bytes, as the coordinator does. */
const PIECE_BYTES = 1 << 20;

const cases = {
  'client-n10-d1e6': {
    target: { cpuSeconds: 0.1 },
    measure: () => client(10, 1e6),
    growth: [() => client(10, 1e5), () => client(20, 1e6), () => client(40, 1e6), () => client(10, 4e6)],
  },
  'server-n10-d1e6-2dropped': {
    target: { cpuSeconds: 0.15 },
    measure: () => server(10, 1e6, 2),
    growth: [
      () => server(10, 1e5, 2),
      () => server(20, 1e6, 2),
      () => server(40, 1e6, 2),
      () => server(10, 4e6, 2),
      () => server(20, 4e6, 2),
    ],
  },
  'server-n100-d1e5': {
    target: { cpuSeconds: 1 },
    measure: () => server(100, 1e5, 0),
    growth: [() => server(25, 1e5, 0), () => server(50, 1e5, 0), () => server(100, 4e5, 0)],
  },
  'sim-n1000-d1e5': { measure: () => simulation(1000, 1e5, 0.05), growth: [() => simulation(250, 1e5, 0.05)] },
  'noise-exact': { target: { millionSamplesPerCpuSecond: 15 }, measure: () => noise(1e7), growth: [() => noise(1e6)] },
  'bytes-per-parameter': {
    target: { bytesPerParameter: 4.01 },
    measure: () => bytesUp(10, 1e6),
    growth: [() => bytesUp(100, 1e6), () => bytesUp(100, 1e7)],
  },
};

const protocol = await import('../../protocol/dist/index.js').catch(() => undefined);
const node = await import('../../protocol/dist/node/index.js').catch(() => undefined);

/** CPU and wall seconds of `work`. */
function timed(work) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  const result = work();
  const { user, system } = process.cpuUsage(cpu);
  return { result, cpuSeconds: (user + system) / 1e6, wallSeconds: Number(process.hrtime.bigint() - start) / 1e9 };
}

/** Several timings that belong to one thing. */
function stopwatch() {
  const total = { cpuSeconds: 0, wallSeconds: 0 };
  return {
    total,
    run: (work) => {
      const { result, cpuSeconds, wallSeconds } = timed(work);
      total.cpuSeconds += cpuSeconds;
      total.wallSeconds += wallSeconds;
      return result;
    },
  };
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** The median of repeated runs after the first. */
function repeated(runs, once) {
  const first = once();
  const rest = Array.from({ length: runs }, once);
  return {
    cpuSeconds: median(rest.map((run) => run.cpuSeconds)),
    wallSeconds: median(rest.map((run) => run.wallSeconds)),
    firstCpuSeconds: first.cpuSeconds,
  };
}

let sessions = 0;

/** A cohort with identities, each participant with a state of its own. */
function aCohort(n, d, crypto, more = {}) {
  const seeds = Array.from({ length: n }, (_, i) => node.seededRandom(`identity/${i}`)(32));
  const terms = {
    sid: node.seededRandom(`session/${sessions++}`)(32),
    threshold: Math.floor((n + 1) / 2) + 1,
    minContributors: Math.floor((n + 1) / 2) + 1,
    assumedColluders: 1,
    members: seeds.map((seed, index) => ({ index, identity: crypto.ed25519.publicKey(seed) })),
    length: d,
    ...more,
  };
  const members = seeds.map((seed, index) => ({
    index,
    parts: { crypto, random: node.systemRandom(), sign: (message) => crypto.ed25519.sign(seed, message) },
    state: undefined,
  }));
  return { terms, members };
}

/** Keeps a step's state, wipes what it consumed, returns its message. */
function keep(member, step) {
  member.state = step.state;
  protocol.wipe(step.consumed);
  return step.message;
}

function ready(plan) {
  if (plan.kind !== 'ready') throw new Error(`The plan is not ready: ${JSON.stringify(plan)}`);
  return plan.outgoing;
}

/** An update as training leaves it, d equal values. */
function anUpdate(d) {
  return protocol.toRawUpdate(new Float64Array(d).fill(1));
}

/** Clipped to 1, rounded. */
function aQuantizedUpdate(update) {
  return protocol.quantize(protocol.clipToL2Norm(update, 1), 2 ** 20);
}

/** What one participant of n spends on a round, all of it but training. */
function client(n, d) {
  const crypto = node.nodeProvider;
  const update = anUpdate(d);
  const short = protocol.withoutNoise(aQuantizedUpdate(update));
  const sampler = protocol.discreteGaussianSampler(SHARE_STDDEV);
  // Nobody looks at the others' words here: they do without masks, whose garbage would be collected on our watch.
  const unmasking = { ...crypto, addMask: () => undefined };
  const once = () => {
    const { terms, members } = aCohort(n, d, crypto);
    const watch = stopwatch();
    const me = members[0];
    for (const { parts } of members.slice(1)) parts.crypto = unmasking;
    // Only the first member's steps run on the watch.
    const step = (member, work) => (member === me ? watch.run(() => keep(member, work())) : keep(member, work()));
    const all = (work) => members.map((member) => step(member, () => work(member)));
    const keyList = ready(
      protocol.planKeyList(
        crypto,
        terms,
        all(({ parts, index }) => protocol.createAdvertise(parts, terms, index)),
      ),
    );
    const shares = all(({ parts, state }) => protocol.handleKeyList(parts, state, keyList));
    const deliveries = ready(protocol.planDeliveries(crypto, terms, keyList, shares));
    const delivered = members.map(({ index }) => deliveries.messageFor(index));
    all(({ parts, state, index }) => protocol.handleShareDelivery(parts, state, delivered[index]));
    const noised = () => protocol.addDiscreteGaussian(aQuantizedUpdate(update), sampler, me.parts.random);
    const receipts = all((member) =>
      protocol.createMaskedInput(member.parts, member.state, member === me ? noised() : short),
    );
    const everyone = members.map(({ index }) => index);
    const list = ready(protocol.planSurvivors(crypto, terms, everyone, receipts));
    const signatures = all(({ parts, state }) => protocol.handleSurvivorList(parts, state, list));
    const view = { keyList, sharers: everyone, survivors: everyone };
    const proof = ready(protocol.planSurvivorProof(crypto, terms, view, signatures));
    all(({ parts, state }) => protocol.handleSurvivorProof(parts, state, proof));
    return watch.total;
  };
  return { n, d, provider: crypto.name, ...repeated(n * d > 2e7 ? 3 : 5, once) };
}

/** What the coordinator spends on a round of n, of whom `dropped` vanish after sharing keys; contributions are on disk. */
function server(n, d, dropped) {
  const directory = mkdtempSync(join(tmpdir(), 'fedlora-bench-'));
  try {
    const file = (name) => join(directory, name);
    const args = ['--server', String(n), String(d), String(dropped), directory];
    // The participants, in a process that is not measured, leave their messages and words; then the coordinator reads them.
    for (const role of ['participants', 'coordinator']) {
      const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args, role], { stdio: 'inherit' });
      if (child.status !== 0) throw new Error(`The ${role} of the bench failed.`);
    }
    return JSON.parse(readFileSync(file('result.json'), 'utf8'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function serverTerms(n, d) {
  sessions = 0;
  return aCohort(n, d, node.nodeProvider);
}

function participants(n, d, dropped, directory) {
  const crypto = node.nodeProvider;
  const { terms, members } = serverTerms(n, d);
  const all = (of, work) => of.map((member) => keep(member, work(member)));
  const advertised = all(members, ({ parts, index }) => protocol.createAdvertise(parts, terms, index));
  const keyList = ready(protocol.planKeyList(crypto, terms, advertised));
  const shares = all(members, ({ parts, state }) => protocol.handleKeyList(parts, state, keyList));
  const deliveries = ready(protocol.planDeliveries(crypto, terms, keyList, shares));
  all(members, ({ parts, state, index }) => protocol.handleShareDelivery(parts, state, deliveries.messageFor(index)));
  const survivors = members.slice(0, n - dropped);
  const quantized = aQuantizedUpdate(anUpdate(d));
  const sampler = protocol.discreteGaussianSampler(SHARE_STDDEV);
  const receipts = survivors.map((member) => {
    const noised = protocol.addDiscreteGaussian(quantized, sampler, member.parts.random);
    const step = protocol.createMaskedInput(member.parts, member.state, noised);
    writeFileSync(join(directory, `words-${member.index}`), protocol.wordsToBytes(step.masked.words));
    return keep(member, step);
  });
  const everyone = members.map(({ index }) => index);
  const list = ready(protocol.planSurvivors(crypto, terms, everyone, receipts));
  const signatures = all(survivors, ({ parts, state }) => protocol.handleSurvivorList(parts, state, list));
  const view = { keyList, sharers: everyone, survivors: survivors.map(({ index }) => index) };
  const proof = ready(protocol.planSurvivorProof(crypto, terms, view, signatures));
  const answers = all(survivors, ({ parts, state }) => protocol.handleSurvivorProof(parts, state, proof));
  const hex = (list) => list.map((bytes) => Buffer.from(bytes).toString('hex'));
  const kept = { advertised, shares, receipts, signatures, answers };
  writeFileSync(
    join(directory, 'messages.json'),
    JSON.stringify(Object.fromEntries(Object.entries(kept).map(([name, list]) => [name, hex(list)]))),
  );
}

async function coordinator(n, d, dropped, directory) {
  const { createHash } = await import('node:crypto');
  const { openSync, readSync, closeSync } = await import('node:fs');
  const crypto = node.nodeProvider;
  const { terms } = serverTerms(n, d);
  const stored = JSON.parse(readFileSync(join(directory, 'messages.json'), 'utf8'));
  const messages = Object.fromEntries(
    Object.entries(stored).map(([name, list]) => [name, list.map((text) => new Uint8Array(Buffer.from(text, 'hex')))]),
  );
  const piece = new Uint8Array(PIECE_BYTES);
  const eachPiece = (index, use) => {
    const file = openSync(join(directory, `words-${index}`), 'r');
    for (let at = 0, length; (length = readSync(file, piece, 0, PIECE_BYTES, at)) > 0; at += length) {
      use(piece.subarray(0, length), at);
    }
    closeSync(file);
  };
  const once = () =>
    timed(() => {
      // Each message is looked at as it comes, and all of a phase again when it is planned.
      for (const bytes of messages.advertised) protocol.checkAdvertiseKeys(crypto, terms, bytes);
      const keyList = ready(protocol.planKeyList(crypto, terms, messages.advertised));
      const checkShares = protocol.shareKeysCheck(crypto, terms, keyList);
      for (const bytes of messages.shares) checkShares(bytes);
      const deliveries = protocol.planDeliveries(crypto, terms, keyList, messages.shares);
      for (const receiver of ready(deliveries).receivers) ready(deliveries).messageFor(receiver);
      const sharers = deliveries.accepted;
      for (const bytes of messages.receipts) {
        const receipt = protocol.checkMaskedInput(crypto, terms, sharers, bytes);
        const hash = createHash('sha256');
        eachPiece(receipt.sender, (part) => hash.update(part));
        if (!protocol.equalBytes(new Uint8Array(hash.digest()), receipt.wordsHash)) throw new Error('Wrong words.');
      }
      const { accepted: survivors } = protocol.planSurvivors(crypto, terms, sharers, messages.receipts);
      const view = { keyList, sharers, survivors };
      const checkSignature = protocol.consistencySignatureCheck(crypto, terms, view);
      for (const bytes of messages.signatures) checkSignature(bytes);
      ready(protocol.planSurvivorProof(crypto, terms, view, messages.signatures));
      const checkAnswer = protocol.unmaskSharesCheck(crypto, terms, view);
      for (const bytes of messages.answers) checkAnswer(bytes);
      const { masks } = ready(protocol.planUnmasking(crypto, terms, view, messages.shares, messages.answers));
      const sum = protocol.emptyMaskedSum(d);
      for (const survivor of survivors) {
        eachPiece(survivor, (part, at) => protocol.sumMaskedInto(sum, protocol.bytesToWords(part), at / 4));
      }
      return protocol.unmask(crypto, sum, masks);
    });
  const { result } = once();
  // Steps of 2^20 per unit in d equal coordinates of an update of norm 1, and noise that no honest sum exceeds.
  const expected = ((n - dropped) * 2 ** 20) / Math.sqrt(d);
  const most = 10 * SHARE_STDDEV * Math.sqrt(n);
  if (result.levels.some((level) => Math.abs(level - expected) > most)) throw new Error('The sum is wrong.');
  const timings = repeated(n * d > 2e7 ? 3 : 5, once);
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  writeFileSync(
    join(directory, 'result.json'),
    JSON.stringify({ n, d, dropped, provider: crypto.name, ...timings, peakMiB }),
  );
}

/** A whole cohort in this process over a graph, a share of whom drop out in each of two phases. */
function simulation(n, d, dropouts) {
  const base = node.nodeProvider;
  const known = new Map();
  const latin = (bytes) => Buffer.from(bytes).toString('latin1');
  // All participants check the same signatures; this process checks each once, and says how long one takes.
  const crypto = {
    ...base,
    ed25519: {
      ...base.ed25519,
      verify: (signature, message, publicKey) => {
        const name = latin(signature) + latin(publicKey) + latin(base.sha256(message));
        if (!known.has(name)) known.set(name, base.ed25519.verify(signature, message, publicKey));
        return known.get(name);
      },
    },
  };
  const colluders = Math.floor(n / 100);
  const needed = Math.floor(0.85 * n);
  const setting = { participants: n, colluders, dropouts: n - needed, lists: 'consistent' };
  const securityBits = protocol.GRAPH_ASSURANCE.securityBits + protocol.choiceBits(n, 0);
  const { neighbours } = protocol.findGraphParameters(setting, { securityBits, correctnessBits: 20 });
  const threshold = protocol.greatestThreshold(setting, neighbours);
  const graph = { neighbours, threshold, silent: 0 };
  const started = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  const { terms, members } = aCohort(n, d, crypto, {
    threshold: needed,
    minContributors: threshold,
    assumedColluders: colluders,
    graph,
  });
  const phases = {};
  const phase = (name, work) => {
    const { result, cpuSeconds } = timed(work);
    phases[name] = Number(cpuSeconds.toFixed(2));
    return result;
  };
  const all = (of, work) => of.map((member) => keep(member, work(member)));
  const advertised = phase('advertise', () =>
    all(members, ({ parts, index }) => protocol.createAdvertise(parts, terms, index)),
  );
  const keyList = phase('planKeyList', () => ready(protocol.planKeyList(crypto, terms, advertised)));
  const reveals = phase('reveal', () =>
    all(members, ({ parts, state }) => protocol.handleKeyList(parts, state, keyList)),
  );
  const revealList = phase('planReveals', () => ready(protocol.planReveals(crypto, terms, keyList, reveals)));
  const shares = phase('share', () =>
    all(members, ({ parts, state }) => protocol.handleRevealList(parts, state, revealList)),
  );
  const deliveries = phase('planDeliveries', () =>
    ready(protocol.planDeliveries(crypto, terms, keyList, shares, revealList)),
  );
  phase('open', () =>
    all(members, ({ parts, state, index }) => protocol.handleShareDelivery(parts, state, deliveries.messageFor(index))),
  );
  // Every twentieth vanishes before it uploads, another before it unmasks.
  const every = Math.round(1 / dropouts);
  const survivors = members.filter(({ index }) => index % every !== 3);
  const responders = survivors.filter(({ index }) => index % every !== 11);
  const quantized = aQuantizedUpdate(anUpdate(d));
  const sampler = protocol.discreteGaussianSampler(SHARE_STDDEV);
  const sum = protocol.emptyMaskedSum(d);
  const receipts = phase('mask', () =>
    survivors.map((member) => {
      const noised = protocol.addDiscreteGaussian(quantized, sampler, member.parts.random);
      const step = protocol.createMaskedInput(member.parts, member.state, noised);
      protocol.sumMaskedInto(sum, step.masked.words);
      return keep(member, step);
    }),
  );
  const everyone = members.map(({ index }) => index);
  const list = phase('planSurvivors', () => ready(protocol.planSurvivors(crypto, terms, everyone, receipts)));
  const signatures = phase('sign', () =>
    all(survivors, ({ parts, state }) => protocol.handleSurvivorList(parts, state, list)),
  );
  const view = { keyList, revealList, sharers: everyone, survivors: survivors.map(({ index }) => index) };
  const proof = phase('planProof', () => ready(protocol.planSurvivorProof(crypto, terms, view, signatures)));
  const answers = phase('answer', () =>
    all(responders, ({ parts, state }) => protocol.handleSurvivorProof(parts, state, proof)),
  );
  const { masks } = phase('planUnmasking', () => ready(protocol.planUnmasking(crypto, terms, view, shares, answers)));
  const { levels } = phase('unmask', () => protocol.unmask(crypto, sum, masks));
  const expected = (survivors.length * 2 ** 20) / Math.sqrt(d);
  const most = 10 * SHARE_STDDEV * Math.sqrt(n) + survivors.length;
  if (levels.some((level) => Math.abs(level - expected) > most)) throw new Error('The sum is wrong.');
  const { user, system } = process.cpuUsage(cpu);
  const sample = base.ed25519.sign(new Uint8Array(32), keyList);
  const key = base.ed25519.publicKey(new Uint8Array(32));
  const one = timed(() => {
    for (let i = 0; i < 200; i++) base.ed25519.verify(sample, keyList.subarray(0, 200), key);
  });
  return {
    n,
    d,
    neighbours,
    threshold,
    droppedBeforeUpload: n - survivors.length,
    droppedBeforeUnmasking: survivors.length - responders.length,
    provider: base.name,
    cpuSeconds: (user + system) / 1e6,
    wallSeconds: Number(process.hrtime.bigint() - started) / 1e9,
    phases,
    signaturesCheckedOnce: known.size,
    cpuSecondsPerSignatureCheck: one.cpuSeconds / 200,
  };
}

function noise(samples) {
  const sampler = protocol.discreteGaussianSampler(SHARE_STDDEV);
  const random = node.systemRandom();
  const target = new Int32Array(samples);
  const timings = repeated(3, () => timed(() => sampler.addTo(target, random)));
  return { samples, ...timings, millionSamplesPerCpuSecond: Number((samples / timings.cpuSeconds / 1e6).toFixed(1)) };
}

/** Bytes that one participant sends in a round without dropouts, as encoded, over the parameters. */
function bytesUp(n, d) {
  const crypto = node.nodeProvider;
  // Lengths of messages do not depend on d: the words are counted, not made.
  const { terms, members } = aCohort(n, 64, crypto);
  const { cpuSeconds, wallSeconds, result } = timed(() => {
    let messages = 0;
    const all = (work) => {
      const sent = members.map((member) => keep(member, work(member)));
      messages += sent[0]?.length ?? 0;
      return sent;
    };
    const advertised = all(({ parts, index }) => protocol.createAdvertise(parts, terms, index));
    const keyList = ready(protocol.planKeyList(crypto, terms, advertised));
    const shares = all(({ parts, state }) => protocol.handleKeyList(parts, state, keyList));
    const deliveries = ready(protocol.planDeliveries(crypto, terms, keyList, shares));
    all(({ parts, state, index }) => protocol.handleShareDelivery(parts, state, deliveries.messageFor(index)));
    const update = protocol.withoutNoise(aQuantizedUpdate(anUpdate(64)));
    const receipts = all(({ parts, state }) => protocol.createMaskedInput(parts, state, update));
    const everyone = members.map(({ index }) => index);
    const list = ready(protocol.planSurvivors(crypto, terms, everyone, receipts));
    const signatures = all(({ parts, state }) => protocol.handleSurvivorList(parts, state, list));
    const view = { keyList, sharers: everyone, survivors: everyone };
    const proof = ready(protocol.planSurvivorProof(crypto, terms, view, signatures));
    all(({ parts, state }) => protocol.handleSurvivorProof(parts, state, proof));
    return messages;
  });
  const bytes = 4 * d + result;
  return { n, d, cpuSeconds, wallSeconds, messageBytes: result, bytesPerParameter: Number((bytes / d).toFixed(5)) };
}

function option(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
}

/** One case, in its own process. */
function runCase(name, index) {
  const chosen = cases[name];
  const measured = (index < 0 ? chosen.measure : chosen.growth[index])();
  const peakMiB = measured.peakMiB ?? Math.round(process.resourceUsage().maxRSS / 1024);
  process.stdout.write(JSON.stringify({ ...measured, peakMiB }));
}

function inOwnProcess(name, index) {
  const args = [fileURLToPath(import.meta.url), '--measure', name, String(index)];
  const child = spawnSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.status !== 0) throw new Error(`The case ${name} failed.`);
  return JSON.parse(child.stdout);
}

function main() {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      case: { type: 'string', multiple: true, default: Object.keys(cases) },
      'no-growth': { type: 'boolean', default: false },
      'no-build': { type: 'boolean', default: false },
    },
  });
  const unknown = values.case.filter((name) => !Object.hasOwn(cases, name));
  if (unknown.length > 0) {
    const remedy = `choose one of ${Object.keys(cases).join(', ')}.`;
    process.stderr.write(`No case is called ${unknown.join(', ')}.\n  what to do: ${remedy}\n`);
    process.exit(2);
  }
  if (values.list) {
    process.stdout.write(`${values.case.join('\n')}\n`);
    return;
  }
  if (!values.json)
    process.stdout.write(`${cpus()[0]?.model ?? 'unknown processor'}, Node.js ${process.versions.node}\n`);
  for (const name of values.case) {
    const { target, growth } = cases[name];
    const ours = { ...inOwnProcess(name, -1), ...(target === undefined ? {} : { target }) };
    if (!values['no-growth']) ours.growth = growth.map((_, index) => inOwnProcess(name, index));
    const line = { bench: 'protocol', case: name, ours, peer: null, ratio: null };
    process.stdout.write(`${values.json ? JSON.stringify(line) : tableOf(name, ours)}\n`);
  }
}

/** One line for each measurement: the case itself, then other n and d. */
function tableOf(name, { target, growth = [], ...ours }) {
  const row = ({ n, d, cpuSeconds, wallSeconds, peakMiB, ...more }) => {
    const size = n === undefined ? '' : `n ${n}  d ${d}`;
    const rest = Object.entries(more).map(([key, value]) => `${key} ${spelled(value)}`);
    const numbers = `${cpuSeconds.toFixed(3)} CPU s  ${wallSeconds.toFixed(3)} s  ${peakMiB} MiB`;
    return `  ${size.padEnd(20)} ${[numbers, ...rest].join('  ')}`;
  };
  const goal = target === undefined ? '' : `  (target: ${Object.entries(target).flat().join(' ')})`;
  return [`${name}${goal}`, ...[ours, ...growth].map(row)].join('\n');
}

function spelled(value) {
  if (typeof value === 'number') return Number(value.toPrecision(4));
  return typeof value === 'object' ? JSON.stringify(value) : value;
}

if (option('--measure') !== undefined) {
  runCase(option('--measure'), Number(process.argv.at(-1)));
} else if (option('--server') !== undefined) {
  const at = process.argv.indexOf('--server');
  const [n, d, dropped] = process.argv.slice(at + 1, at + 4).map(Number);
  const [directory, role] = process.argv.slice(at + 4);
  if (role === 'participants') participants(n, d, dropped, directory);
  else await coordinator(n, d, dropped, directory);
} else {
  const { ensureBuilt } = await import('../setup.mjs');
  if (!process.argv.includes('--no-build')) ensureBuilt();
  main();
}

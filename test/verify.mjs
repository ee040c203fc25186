/**
 * `npm run verify`: format, types, import rules and cycles, house rules, advisories, and beside them the linter, which takes as long as all of
 * these on one core. Each says whether it passed, and what failed is shown whole.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { checkNode, root } from './setup.mjs';

/** In the order in which they are done, each list beside the other. */
const checks = [['lint'], ['format:check', 'typecheck', 'cycles', 'architecture', 'audit']];

/** Runs one of the package's scripts; resolves with whether it passed. */
async function passes(script) {
  const since = Date.now();
  const child = spawn('npm', ['run', '--silent', script], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => said.push(piece));
  const [code] = await once(child, 'close');
  const seconds = ((Date.now() - since) / 1000).toFixed(0);
  process.stdout.write(`${code === 0 ? 'passed' : 'FAILED'}  ${script} (${seconds} s)\n`);
  if (code !== 0 || script === 'audit') process.stdout.write(Buffer.concat(said));
  return code === 0;
}

async function inOrder(scripts) {
  const results = [];
  for (const script of scripts) results.push(await passes(script));
  return results;
}

checkNode();
const results = (await Promise.all(checks.map(inOrder))).flat();
if (results.includes(false)) process.exitCode = 1;

/**
 * `npm run audit`: asks the registry for security advisories about the packages that the programs run on, and fails on those that are high
 * or critical. Where nobody answers, it says so and fails nothing: a build must not depend on the network.
 */

import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { root } from './setup.mjs';

const LONGEST_MS = 30_000;
const FAILING = ['high', 'critical'];

/** What npm's answer comes to; see `audit.d.mts`. */
export function judge(output) {
  const report = parsed(output);
  if (report?.auditReportVersion === undefined) {
    const why = report?.message ?? report?.error?.summary ?? 'no answer in time';
    return { checked: false, failing: false, lines: [`npm audit: nothing was checked (${why}).`] };
  }
  const found = Object.values(report.vulnerabilities);
  const lines = found.map(({ name, severity, range, via }) => {
    const titles = via.map((one) => (typeof one === 'string' ? `by ${one}` : one.title));
    return `${severity}: ${name} ${range}: ${titles.join('; ')}`;
  });
  const failing = found.some(({ severity }) => FAILING.includes(severity));
  return { checked: true, failing, lines: [...lines, `npm audit: ${found.length} packages with advisories.`] };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // npm was stopped, or could not even say what went wrong.
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json', '--fetch-retries=0', '--fetch-timeout=20000'], {
    cwd: root,
    encoding: 'utf8',
    timeout: LONGEST_MS,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'ignore'],
    shell: process.platform === 'win32',
  });
  const { failing, lines } = judge(stdout ?? '');
  process.stdout.write(`${lines.join('\n')}\n`);
  if (failing) process.exitCode = 1;
}

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fedlora } from '../../../test/support/command-line.js';

let folder: string;
const script = (shell: string): string => join(folder, `script.${shell}`);
const has = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-completion-'));
  await mkdir(join(folder, 'my rows'));
  await writeFile(join(folder, 'my token.txt'), '');
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, out } = await fedlora(['completion', shell]);
    expect(code).toBe(0);
    await writeFile(script(shell), `${out}\n`);
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What bash offers for the last of these words, after those before it. */
function inBash(...words: readonly string[]): string[] {
  const line = ['fedlora', ...words];
  const program = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=${line.length - 1}; _fedlora; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = execFileSync('bash', ['--norc', '--noprofile', '-c', program, script('bash'), ...line], { cwd: folder });
  return out.toString('utf8').split('\n').filter(Boolean).sort();
}

describe('completion in bash', () => {
  it('offers commands, and those below a command', () => {
    expect(inBash('')).toEqual(expect.arrayContaining(['enrol', 'leave', 'policy', 'completion', 'help']));
    expect(inBash('p')).toEqual(['pause', 'policy', 'privacy', 'pull']);
    expect(inBash('policy', 'ex')).toEqual(['explain']);
    expect(inBash('admin', 'organisations', 'su')).toEqual(['suspend']);
    expect(inBash('nonsense-of-mine')).toEqual([]);
  });

  it('offers the options of the command that the words lead to', () => {
    expect(inBash('leave', '-')).toEqual(['--forget', '--help', '--home', '--yes', '-h']);
    expect(inBash('policy', 'init', '--epsilon')).toEqual(['--epsilon-cap']);
    expect(inBash('--de')).toEqual(['--debug']);
  });

  it('offers the options of the command that runs where none is named', () => {
    expect(inBash('privacy', '--')).toEqual(['--dataset', '--help', '--home', '--json']);
  });

  it('offers the choices of an option, however it is written', () => {
    expect(inBash('train', '--engine', '')).toEqual(['onnx', 'tfjs']);
    expect(inBash('train', '--engine', '=', 't')).toEqual(['tfjs']);
    expect(inBash('train', '--engine', '=')).toEqual(['onnx', 'tfjs']);
    expect(inBash('completion', '')).toEqual(['bash', 'fish', 'zsh']);
  });

  it('does not take the value of an option for a command', () => {
    expect(inBash('enrol', '--home', 'policy', '--token-f')).toEqual(['--token-file']);
    expect(inBash('enrol', '--home', '=', 'policy', '--token-f')).toEqual(['--token-file']);
  });

  it('offers files and folders, with spaces too, where they belong, and nothing where anything may stand', () => {
    expect(inBash('enrol', '--token-file', 'my')).toEqual(['my rows', 'my token.txt']);
    expect(inBash('enrol', '--home', 'my')).toEqual(['my rows']);
    expect(inBash('enrol', '--threads', '')).toEqual([]);
  });

  it('is of a syntax that bash takes, and defines nothing but its own names', () => {
    const program =
      'before=$(compgen -A function -v); source "$0"; comm -13 <(sort <<<"$before") <(compgen -A function -v | sort)';
    const added = execFileSync('bash', ['--norc', '-c', program, script('bash')])
      .toString('utf8')
      .split('\n');
    expect(added.filter((name) => name.startsWith('_fedlora'))).toHaveLength(3);
    expect(added.filter((name) => !/^(_fedlora|before$|PIPESTATUS$|_$|$)/.test(name))).toEqual([]);
  });
});

describe('completion in zsh', () => {
  it(
    has('zsh') ? 'is of a syntax that zsh takes' : 'has a function for each command (zsh is not installed here)',
    async () => {
      if (has('zsh')) execFileSync('zsh', ['-n', script('zsh')]);
      const { out } = await fedlora(['completion', 'zsh']);
      expect(out).toMatch(/^#compdef fedlora\n/);
      expect(out).toContain('_fedlora_policy_init() {');
      expect(out).toMatch(/--engine=\[what computes\]:value:\(onnx tfjs\)/);
      expect(out).toContain("'leave:leave the federation");
    },
  );
});

describe('completion in fish', () => {
  if (has('fish')) {
    it('offers commands, options, choices and files', () => {
      const inFish = (line: string): string[] =>
        execFileSync('fish', ['--no-config', '-c', `source ${script('fish')}; complete -C '${line}'`], { cwd: folder })
          .toString('utf8')
          .split('\n')
          .map((offer) => offer.split('\t')[0])
          .filter(Boolean);
      expect(inFish('fedlora p').sort()).toEqual(['pause', 'policy', 'privacy', 'pull']);
      expect(inFish('fedlora policy ex')).toEqual(['explain']);
      expect(inFish('fedlora train --engine ')).toEqual(['onnx', 'tfjs']);
      expect(inFish('fedlora enrol --home policy --token-f')).toEqual(['--token-file']);
      expect(inFish('fedlora enrol --token-file my')).toContain('my token.txt');
      expect(inFish('fedlora enrol --threads ')).toEqual([]);
    });
  } else {
    it('has a line for each command and option (fish is not installed here)', async () => {
      const { out } = await fedlora(['completion', 'fish']);
      expect(out).toContain("-a leave -d 'leave the federation");
      expect(out).toContain("-l engine -x -a 'onnx tfjs' -d 'what computes'");
    });
  }
});

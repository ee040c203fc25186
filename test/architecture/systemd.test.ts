/** The units of `deploy/systemd` against the program that they start, and against systemd's own checks where it is installed. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodes } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { commandTree } from '../../client/src/cli/completion/command-tree.js';
import { processContext } from '../../client/src/cli/context.js';
import { buildProgram } from '../../client/src/cli/program.js';
import { LONGEST_STOP_MS } from '../../client/src/daemon/daemon.js';
import { loadConfig } from '../../coordinator/src/config/coordinator-config.js';
import { root } from './sources.js';

const folder = join(root, 'deploy', 'systemd');
const clientUnits = ['fedlora-client.service', 'fedlora-enrol.service'] as const;
const worker = 'fedlora-worker@.service';
const units = [...clientUnits, 'fedlora-coordinator.service', worker] as const;
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

/** The values of a setting in a unit, in order. */
function valuesOf(unit: string, key: string): string[] {
  return readFileSync(join(folder, unit), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));
}

describe('the systemd units', () => {
  it.each(['fedlora-client.service', 'fedlora-coordinator.service', worker])(
    '%s does not start again after an exit code that asks for a person',
    (unit) => {
      const prevented = valuesOf(unit, 'RestartPreventExitStatus')[0].split(' ').map(Number);
      const persons = Object.values(exitCodes).filter((code) => code >= 20 && code <= 39);
      expect(prevented).toEqual([2, ...persons]);
    },
  );

  it('wait longer for the client to stop than it may take', () => {
    const seconds = Number(valuesOf('fedlora-client.service', 'TimeoutStopSec')[0]);
    expect(1000 * seconds).toBeGreaterThan(LONGEST_STOP_MS + 10_000);
  });

  it('start commands that exist, with options that exist', () => {
    const program = commandTree(buildProgram(processContext()));
    for (const unit of clientUnits) {
      const [path, name, ...words] = valuesOf(unit, 'ExecStart')[0].split(' ');
      expect(path).toBe('/usr/local/bin/fedlora');
      const command = program.children.find((child) => child.name === name);
      const flags = command?.options.flatMap((option) => option.flags) ?? [];
      for (const word of words.filter((one) => one.startsWith('--'))) expect(flags, `${unit}: ${word}`).toContain(word);
    }
  });

  it.each(units)('%s has the token in no argument and no environment, and no more rights than it needs', (unit) => {
    const text = readFileSync(join(folder, unit), 'utf8');
    expect(text).not.toContain('FEDLORA_TOKEN');
    for (const setting of [
      `User=${(clientUnits as readonly string[]).includes(unit) ? 'fedlora' : /^[a-z-]+/.exec(unit)?.[0]}`,
      'NoNewPrivileges=yes',
      'CapabilityBoundingSet=',
      'ProtectSystem=strict',
      'ProtectHome=yes',
      'PrivateTmp=yes',
      'SocketBindDeny=any',
      'UMask=0077',
      'StateDirectoryMode=0700',
    ])
      expect(text.split('\n'), setting).toContain(setting);
  });

  it('let the coordinator listen on its own port only, and start the program that is there', () => {
    const unit = 'fedlora-coordinator.service';
    const { port } = loadConfig([], { FEDLORA_FEDERATION_KEY: 'ab'.repeat(32) });
    expect(valuesOf(unit, 'SocketBindAllow')).toEqual([`tcp:${port}`]);
    const [, program] = valuesOf(unit, 'ExecStart')[0].split('/opt/fedlora/');
    expect(existsSync(join(root, program)), program).toBe(true);
    const settings = Object.fromEntries(valuesOf(unit, 'Environment').map((line) => line.split('='))) as object;
    expect(loadConfig([], { ...settings, FEDLORA_FEDERATION_KEY: 'ab'.repeat(32) })).toMatchObject({
      dataFolder: `/var/lib/${valuesOf(unit, 'StateDirectory')[0]}`,
      trustedProxies: ['loopback'],
    });
  });

  it('start workers of the same program, which listen nowhere and are given no database', () => {
    const [, program, command] = /fedlora\/(\S+) (\w+)$/.exec(valuesOf(worker, 'ExecStart')[0]) ?? [];
    expect(existsSync(join(root, program)), program).toBe(true);
    expect(command).toBe('worker');
    expect(valuesOf(worker, 'SocketBindAllow')).toEqual([]);
    const settings = Object.fromEntries(valuesOf(worker, 'Environment').map((line) => line.split('='))) as object;
    const given = { FEDLORA_FEDERATION_KEY: 'ab'.repeat(32), FEDLORA_REDIS_URL: 'rediss://redis:6379' };
    expect(loadConfig([], { ...settings, ...given }, 'worker')).toMatchObject({
      dataFolder: `/var/lib/${valuesOf(worker, 'StateDirectory')[0]}`,
    });
  });

  if (hasSystemd) {
    it.each(units)('%s is taken by systemd, and has a small exposure', (unit) => {
      const path = join(folder, unit);
      const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' });
      // The program is not installed where this runs, and the unit of a newer systemd may know more than this one.
      const complaints = stderr
        .split('\n')
        .filter((line) => line.startsWith(unit) && !/\/usr\/local\/bin\/\w+ is not executable/.test(line));
      expect(complaints).toEqual([]);
      const checked = spawnSync(
        'systemd-analyze',
        ['security', '--offline=true', '--no-pager', '--threshold=40', path],
        { encoding: 'utf8' },
      );
      // Before version 250 there is no such check of a file.
      if (!checked.stderr.includes('unrecognized option')) expect(checked.status, checked.stdout).toBe(0);
    });
  } else {
    it('are not checked by systemd-analyze, which is not installed here', () => {
      expect(hasSystemd).toBe(false);
    });
  }
});

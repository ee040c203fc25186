import { describe, expect, it } from 'vitest';
import type { SimulationReport } from '../simulate/report.js';
import { ArgumentError, parseBenchArguments } from './arguments.js';
import type { BenchLine } from './report.js';
import { rowsOf, rowsOfSimulation, textOfRows } from './table.js';

const measured = { cpuSeconds: 2, wallSeconds: 1, peakMiB: 100 };
const line = (more: object): BenchLine => {
  return { bench: 'engine', case: 'step', ours: measured, peer: null, ratio: null, ...more };
};

describe('the table of all benches', () => {
  it('holds time and memory against the peer: over 1 is better, of what should be little as of what should be much', () => {
    const peer = { name: 'PyTorch', cpuSeconds: 3, wallSeconds: 0.5, peakMiB: 400, tokensPerSecond: 10 };
    const rows = rowsOf(line({ ours: { ...measured, tokensPerSecond: 5 }, peer }));
    expect(rows.map(({ measure, beside, ratio }) => [measure, beside?.name, beside?.value, ratio])).toEqual([
      ['CPU time', 'PyTorch', 3, 1.5],
      ['wall time', 'PyTorch', 0.5, 0.5],
      ['peak memory', 'PyTorch', 400, 4],
      ['tokens', 'PyTorch', 10, 0.5],
    ]);
  });

  it('knows a target however its bench writes it, and sets nothing beside what has none', () => {
    const [cpu, wall] = rowsOf(line({ ours: { ...measured, target: { cpuSeconds: 1 } } }));
    expect(cpu).toMatchObject({ beside: { name: 'target', value: 1 }, ratio: 0.5 });
    expect(wall).toMatchObject({ beside: null, ratio: null });
    const answers = rowsOf(line({ ours: { ...measured, medianMs: 2, targetMedianMs: 5 } }));
    expect(answers.at(-1)).toMatchObject({ unit: 'ms', beside: { name: 'target', value: 5 }, ratio: 2.5 });
  });

  it('names other sizes by what they are, without the target of the case itself', () => {
    const growth = [{ ...measured, n: 20, d: 1000 }];
    const rows = rowsOf(line({ ours: { ...measured, target: { cpuSeconds: 1 }, growth } }));
    expect(rows.map((row) => row.case)).toEqual([...Array(3).fill('step'), ...Array(3).fill('step: n 20, d 1000')]);
    expect(rows[3].beside).toBeNull();
  });

  it('shows of a simulation the last round, and what both sides used', () => {
    const report = {
      options: { clients: 10, params: 1000 },
      rounds: [{ seconds: 3 }, { seconds: 2 }],
      coordinator: { cpuSeconds: 1.5, connectedMiB: 100, peakMiB: 150, receivedBytes: 2e6, sentBytes: 1e6 },
      clients: { cpuSeconds: 4, peakMiB: 300 },
    } as unknown as SimulationReport;
    const rows = rowsOfSimulation(report);
    expect(new Set(rows.map((row) => row.case))).toEqual(new Set(['10 clients, 1000 parameters']));
    expect(rows.map(({ value, unit }) => `${value} ${unit}`)).toEqual(
      ['1.5 s', '4 s', '2 s', '150 MiB', '300 MiB', '2 MB', '1 MB'], // Coordinator, clients, round, memory of both, traffic.
    );
  });

  it('stands in columns, numbers to the right', () => {
    const rows = rowsOf(line({ ours: { ...measured, cpuSeconds: 0.012345, target: { cpuSeconds: 0.1 } } }));
    const [head, cpu, wall] = textOfRows(rows).split('\n');
    expect(head).toMatch(/^bench +measure +value +unit +target or peer +ratio$/);
    expect(cpu).toMatch(/^engine step +CPU time +0\.0123 +s +target 0\.1 +8\.10$/);
    expect(wall.indexOf('1') + 1).toBe(cpu.indexOf('0.0123') + '0.0123'.length);
  });
});

describe('the command line of npm run bench', () => {
  it('runs all benches in their order, or those that are named', () => {
    expect(parseBenchArguments([]).only).toEqual(['engine', 'registry', 'protocol', 'simulate']);
    expect(parseBenchArguments(['--only', 'protocol, engine']).only).toEqual(['engine', 'protocol']);
  });

  it.each([
    [['--only', 'engine,speed'], 'No bench is called speed.'],
    [['--fast'], '--fast'],
  ])('refuses %s, and says what would do', (args, message) => {
    expect(() => parseBenchArguments(args)).toThrow(ArgumentError);
    expect(() => parseBenchArguments(args)).toThrow(message);
    expect(() => parseBenchArguments(args)).toThrow('what to do:');
  });
});

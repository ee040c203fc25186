/** Quantizes the linear layers of a checkpoint once and prints what it took, as one JSON line. Argument: the folder. */

import { openBaseModel, quantizedLinear } from '@fedlora/client';

const base = await openBaseModel(process.argv[2] ?? '');
const before = process.cpuUsage();
const { report } = await quantizedLinear(base);
const { user, system } = process.cpuUsage(before);
const { parameters, seconds: wallSeconds, threads, parametersPerSecond } = report;
const peakMiB = process.resourceUsage().maxRSS / 1024;
const cpuSeconds = (user + system) / 1e6;
process.stdout.write(JSON.stringify({ cpuSeconds, wallSeconds, peakMiB, threads, parameters, parametersPerSecond }));

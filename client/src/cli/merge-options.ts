/** How adapters are merged: options that `fedlora adapter merge` and `fedlora admin versions merge` share. */

import { Option } from 'commander';
import { mergeMethods } from '@fedlora/shared';
import { weightList, wholeNumber } from './options.js';

export function weightsOption(): Option {
  return new Option('--weights <list>', 'a weight for each, as 0.5,0.3,0.2')
    .argParser(weightList)
    .makeOptionMandatory();
}

export function mergeMethodOption(): Option {
  return new Option('--method <name>', 'how').choices(mergeMethods).makeOptionMandatory();
}

export function mergeRankOption(): Option {
  return new Option('--rank <r>', 'of the result, for svd').argParser(wholeNumber);
}

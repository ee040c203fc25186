import { checkNode, clean, ensureBuilt, ensureInstalled } from './setup.mjs';

checkNode();
if (process.argv.includes('--clean')) {
  clean();
} else {
  ensureInstalled();
  ensureBuilt();
}

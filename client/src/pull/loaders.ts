/** Who is told of a new version: a running server that serves it, or any command. */

import { askServing, runTold } from './serving.js';

export interface Loader {
  readonly name: string;
  /** @param folder absolute, of the version itself, so that it stays the same version whatever happens to `current` */
  load(id: string, folder: string): Promise<void>;
  /** The version was revoked, and none takes its place. */
  unload(id: string): Promise<void>;
  /** Whether a version that was loaded still is: a server may have been restarted. Absent where nobody can tell. */
  isLoaded?(id: string): Promise<boolean>;
}

/**
 * A running vLLM, started with `--enable-lora` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True. It must see the folder under the same path.
 *
 * @param url of the server
 * @param adapter name under which requests ask for the adapter
 */
export function vllmLoader(url: string, adapter: string): Loader {
  const post = async (path: string, body: object): Promise<void> => {
    await askServing('vLLM', url, { method: 'POST', path, body });
  };
  return {
    name: `vLLM at ${url}`,
    // In place: requests that are under way end with the old weights, later ones get the new, and none finds the name missing.
    load: (_id, folder) => post('/v1/load_lora_adapter', { lora_name: adapter, lora_path: folder, load_inplace: true }),
    unload: () => post('/v1/unload_lora_adapter', { lora_name: adapter }),
    // Only its name: vLLM does not say of which version.
    async isLoaded() {
      const models = await askServing('vLLM', url, { method: 'GET', path: '/v1/models' });
      const { data } = (models ?? {}) as { readonly data?: unknown };
      return Array.isArray(data) && data.some((model: { readonly id?: unknown } | null) => model?.id === adapter);
    },
  };
}

/** A command of the shell, with `environment` and told by FEDLORA_EVENT (`load`, `unload`), FEDLORA_VERSION and FEDLORA_VERSION_DIR. */
export function commandLoader(command: string, environment: NodeJS.ProcessEnv): Loader {
  const run = (event: string, id: string, folder: string): Promise<void> =>
    runTold(command, environment, { FEDLORA_EVENT: event, FEDLORA_VERSION: id, FEDLORA_VERSION_DIR: folder });
  return {
    name: 'the command',
    load: (id, folder) => run('load', id, folder),
    unload: (id) => run('unload', id, ''),
  };
}

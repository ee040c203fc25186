/** Addresses of the Hub's API, which are beside ours. */

const HUB_ADDRESS = /^\/(?:api\/models(?:\/|$)|api\/whoami-v2$|[^/]+\/[^/]+\/(?:resolve|raw)\/)/;

/** Where its Python client sends forms. */
export const HUB_FORM = /^\/api\/models\/[^/]+\/[^/]+\/paths-info(?=\/)/;

export function isHubAddress(path: string): boolean {
  return HUB_ADDRESS.test(path);
}

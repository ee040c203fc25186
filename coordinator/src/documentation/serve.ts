/** The documentation at `/docs`: for everybody, since an owner reads before enrolling. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import compression from 'compression';
import { Router, type Request, type Response } from 'express';
import { DOCS, readLibrary, STYLE_FILE } from './library.js';
import { documentOf, missingDocument, SEARCH_ADDRESS, searchDocument, STYLE_ADDRESS } from './layout.js';
import { search } from './search.js';

/** The files of the documentation as `npm run build` gathers them, for programs that run without the repository; else the repository. */
const gathered = fileURLToPath(new URL('./files/', import.meta.url));
const root = existsSync(gathered) ? gathered : fileURLToPath(new URL('../../../', import.meta.url));

/** Answers for everything below `/docs`. Pages are read once, when somebody first asks for one. */
export function documentation(): Router {
  let read: ReturnType<typeof readLibrary> | undefined;
  const library = (): ReturnType<typeof readLibrary> => (read ??= readLibrary(root));

  const router = Router({ caseSensitive: true });
  // Nothing here is secret, so that lengths tell nothing.
  router.use(DOCS, compression());
  router.get(STYLE_ADDRESS, (_request: Request, response: Response) =>
    response.sendFile(join(root, STYLE_FILE), { maxAge: 0 }),
  );
  router.get(SEARCH_ADDRESS, ({ query }: Request, response: Response) => {
    const question = typeof query.q === 'string' ? query.q : '';
    response.type('html').send(searchDocument(library(), question, search(library(), question)));
  });
  router.get([DOCS, `${DOCS}/{*path}`], (request: Request, response: Response) => {
    const address = request.path.replace(/\/$/, '');
    const picture = library().pictures.get(address);
    if (picture !== undefined) return response.sendFile(join(root, picture), { maxAge: 0 });
    const page = library().pages.find((one) => one.address === address);
    if (page === undefined) return response.status(404).type('html').send(missingDocument(library()));
    return response.type('html').set('cache-control', 'no-cache').send(documentOf(library(), page));
  });
  return router;
}

/** What every HTTP answer goes through before a controller sees the request: security headers, the dashboard's files, JSON bodies. */

import { existsSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NestExpressApplication } from '@nestjs/platform-express';
import compression from 'compression';
import express, { type Application, type NextFunction, type Request, type Response } from 'express';
import helmet from 'helmet';
import { limits } from '@fedlora/shared';
import { entityTag } from '../api/entity-tag.js';
import { documentation } from '../documentation/serve.js';
import { HUB_FORM, isHubAddress } from '../hub/hub-address.js';
import { endBeyond } from './bodies.js';

/** Paths that are never the dashboard's. */
const OURS = /^\/(api|docs|socket\.io|healthz|readyz|metrics)(\/|$)/;

/** The built dashboard: beside `src` and `dist` alike. */
const dashboardFolder = fileURLToPath(new URL('../../dashboard/dist', import.meta.url));

export function setUpHttp(app: NestExpressApplication, trustedProxies: readonly string[]): void {
  app.disable('x-powered-by');
  app.set('trust proxy', trustedProxies);
  app.set('etag', entityTag);
  app.use(
    helmet({
      contentSecurityPolicy: {
        directives: {
          'style-src': ["'self'", "'unsafe-inline'"],
          'img-src': ["'self'", 'data:'],
          'upgrade-insecure-requests': null,
        },
      },
      // TLS ends at the proxy in front, which knows whether it is there to stay.
      strictTransportSecurity: false,
    }),
  );
  app.use((request: Request, _response: Response, next: NextFunction) => {
    // The parsers read one that is too long to its end, which may never come, before they say so.
    if (typeof request.is(['json', 'urlencoded']) === 'string') endBeyond(request);
    next();
  });
  app.useBodyParser('json', { limit: limits.jsonBodyBytes });
  app.use(HUB_FORM, express.urlencoded({ extended: false, limit: limits.jsonBodyBytes }));
  app.use(documentation());
  serveDashboard(app);
}

/** Whether an address is one of the trusted proxies'. */
export function proxyTest(app: NestExpressApplication): (address: string) => boolean {
  // Express compiles what it was told to trust, and has no other name for it.
  const isTrusted = (app.getHttpAdapter().getInstance() as Application).get('trust proxy fn') as (
    address: string,
    hop: number,
  ) => boolean;
  return (address) => isTrusted(address, 0);
}

function serveDashboard(app: NestExpressApplication): void {
  const page = join(dashboardFolder, 'index.html');
  if (!existsSync(page)) return;
  // These only: an answer of the API may hold a secret beside what somebody else chose, whose lengths would tell (BREACH).
  const compress = compression();
  const files = express.static(dashboardFolder, {
    index: false,
    setHeaders: (response, path) => {
      // Only these carry a hash of their content in their names.
      if (path.includes(`${sep}assets${sep}`))
        response.setHeader('cache-control', 'public, max-age=31536000, immutable');
    },
  });
  app.use((request: Request, response: Response, next: NextFunction) => {
    const isPage =
      (request.method === 'GET' || request.method === 'HEAD') &&
      !OURS.test(request.path) &&
      !isHubAddress(request.path);
    if (!isPage) {
      next();
      return;
    }
    compress(request, response, () => {
      files(request, response, (error?: unknown) => {
        // Any other address is a view of the page itself. Missing files are missing.
        if (error !== undefined || /\.\w+$/.test(request.path)) next(error);
        else response.sendFile(page, { maxAge: 0 });
      });
    });
  });
}

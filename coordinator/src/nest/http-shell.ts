/** What every HTTP answer goes through before a controller sees the request: security headers, the dashboard's files, JSON bodies. */

import { existsSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NestExpressApplication } from '@nestjs/platform-express';
import express, { type NextFunction, type Request, type Response } from 'express';
import helmet from 'helmet';
import { limits } from '@fedlora/shared';
import { entityTag } from '../api/entity-tag.js';
import { HUB_FORM, isHubAddress } from '../hub/hub-address.js';

/** Paths that are never the dashboard's. */
const OURS = /^\/(api|socket\.io|healthz|readyz|metrics)(\/|$)/;

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
  app.useBodyParser('json', { limit: limits.jsonBodyBytes });
  app.use(HUB_FORM, express.urlencoded({ extended: false, limit: limits.jsonBodyBytes }));
  serveDashboard(app);
}

function serveDashboard(app: NestExpressApplication): void {
  const page = join(dashboardFolder, 'index.html');
  if (!existsSync(page)) return;
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
    files(request, response, (error?: unknown) => {
      // Any other address is a view of the page itself. Missing files are missing.
      if (error !== undefined || /\.\w+$/.test(request.path)) next(error);
      else response.sendFile(page, { maxAge: 0 });
    });
  });
}

/**
 * A page that shows the OpenAPI document: Swagger UI from its package, under the content security policy that every answer has, which
 * allows neither inline scripts nor other hosts. Reads can be tried with the sign-in of the same browser; changes cannot.
 */

import { createRequire } from 'node:module';
import { Controller, Get, Header, Res } from '@nestjs/common';
import type { Response } from 'express';

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Fedlora API</title>
    <link rel="icon" href="/favicon.svg" />
    <link rel="stylesheet" href="/api/v1/docs/viewer.css" />
  </head>
  <body>
    <main id="viewer"></main>
    <script src="/api/v1/docs/viewer.js"></script>
    <script src="/api/v1/docs/start.js"></script>
  </body>
</html>
`;

// `validatorUrl`: by default the viewer sends the document's address to a server of its makers.
const START = `SwaggerUIBundle({
  url: '/api/v1/openapi.json',
  dom_id: '#viewer',
  deepLinking: true,
  supportedSubmitMethods: ['get', 'head'],
  validatorUrl: null,
});
`;

@Controller('api/v1/docs')
export class DocsController {
  @Get()
  @Header('content-type', 'text/html')
  page(): string {
    return PAGE;
  }

  @Get('start.js')
  @Header('content-type', 'text/javascript')
  start(): string {
    return START;
  }

  @Get('viewer.js')
  viewer(@Res() response: Response): void {
    response.sendFile(fileOfViewer('swagger-ui-bundle.js'));
  }

  @Get('viewer.css')
  style(@Res() response: Response): void {
    response.sendFile(fileOfViewer('swagger-ui.css'));
  }
}

function fileOfViewer(name: string): string {
  return createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`);
}

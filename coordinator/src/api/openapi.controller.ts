import { Controller, Get, Inject } from '@nestjs/common';
import { OPEN_API } from '../nest/tokens.js';
import type { OpenApi } from './openapi.js';

@Controller('api/v1')
export class OpenApiController {
  constructor(@Inject(OPEN_API) private readonly document: OpenApi) {}

  @Get('openapi.json')
  openApi(): OpenApi {
    return this.document;
  }
}

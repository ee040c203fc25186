import { Controller, Get, Inject } from '@nestjs/common';
import { fingerprint } from '@fedlora/protocol';
import type { SigningKeyView } from '@fedlora/shared';
import { PUBLIC_KEY } from '../nest/tokens.js';

@Controller('api/v1/signing-key')
export class SigningKeyController {
  constructor(@Inject(PUBLIC_KEY) private readonly publicKey: string) {}

  @Get()
  key(): SigningKeyView {
    return { publicKey: this.publicKey, fingerprint: fingerprint(this.publicKey) };
  }
}

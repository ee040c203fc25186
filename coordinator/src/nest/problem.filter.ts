import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Request, Response } from 'express';
import { FedloraError, uploadHeaders, type ErrorCode } from '@fedlora/shared';
import { isHubAddress } from '../hub/hub-address.js';
import { hubHeaders } from '../hub/hub-errors.js';
import type { Log } from '../observe/log.js';
import type { Metrics } from '../observe/metrics.js';
import type { KnownRequest } from './access.guard.js';
import { readOut } from './bodies.js';
import { problemOf } from './problem.js';

/** Turns every error of an HTTP handler into problem details. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly log: Log,
    private readonly metrics: Pick<Metrics, 'refused'>,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    const request = host.switchToHttp().getRequest<Request>();
    if ((request.destroyed && !response.writable) || (request.socket.destroyed && isBrokenConnection(thrown))) {
      this.log.debug('http.request.abandoned', { code: FedloraError.from(thrown).code });
      return; // Nobody is there to be answered: the connection broke in the middle of an upload or of a download.
    }
    const error = fromNest(thrown);
    const { path, headers, id } = host.switchToHttp().getRequest<KnownRequest>();
    const problem = { ...problemOf(error), requestId: id };
    this.metrics.refused('http', problem.code);
    // Whoever stands by says so to each probe of a proxy, every second: nothing has failed. What cannot be passed on is told once.
    if (isOfStandby(problem.code)) this.log.debug('http.handler.standing-by', { code: problem.code });
    // One line for each of a thousand that come at once would be one more thing to be busy with; the count is in the metrics.
    else if (problem.code === 'coordinator/busy') this.log.debug('http.handler.busy');
    else if (problem.status >= 500) this.log.error('http.handler.failed', { code: problem.code, err: thrown });
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const retryAfterMs = error instanceof FedloraError ? error.details.retryAfterMs : undefined;
    if (typeof retryAfterMs === 'number') response.setHeader('retry-after', Math.ceil(retryAfterMs / 1000));
    const offset = error instanceof FedloraError ? error.details.offset : undefined;
    if (typeof offset === 'number') response.setHeader(uploadHeaders.offset, offset);
    if (isHubAddress(path)) response.set(hubHeaders(problem, headers.authorization !== undefined));
    response.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
    readOut(request);
  }
}

function isOfStandby(code: ErrorCode): boolean {
  return code === 'coordinator/standing-by' || code === 'coordinator/driver-lost';
}

/** What streams throw when the other side goes away. */
function isBrokenConnection(thrown: unknown): boolean {
  const { code } = (thrown ?? {}) as { code?: unknown };
  return (
    typeof code === 'string' && ['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'].includes(code)
  );
}

/** Errors of Nest and of its body parser, by their status. */
function fromNest(thrown: unknown): unknown {
  const status = thrown instanceof HttpException ? thrown.getStatus() : (thrown as { status?: unknown } | null)?.status;
  switch (status) {
    case 400:
      return new FedloraError('request/invalid', 'The body cannot be read.', { cause: thrown });
    case 404:
      return new FedloraError('request/not-found', undefined, { cause: thrown });
    case 415:
      return new FedloraError('request/unsupported-type', undefined, { cause: thrown });
    case 413:
      return new FedloraError('request/too-large', undefined, { cause: thrown });
    default:
      return thrown;
  }
}

import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { dirname } from 'node:path';
import { FedloraError, PathsInfoRequest, type RepositoryView } from '@fedlora/shared';
import { VersionStore } from '../adapters/version-store.js';
import { seesRun, type Operator } from '../access/principal.js';
import { Asking } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { ReleaseViews } from '../release/release-views.js';
import { Downloads } from './downloads.js';
import { HubFiles, type HubFile } from './hub-files.js';
import { HubService } from './hub.service.js';
import type { HubEntry, HubModel, HubRefs, HubUser } from './hub-types.js';

/** As many as the Hub gives at once. */
const MOST_ENTRIES = 1000;

/**
 * As much of the Hugging Face Hub's API as its clients need to pull: with this coordinator as `HF_ENDPOINT` and an API token as `HF_TOKEN`,
 * `snapshot_download` and `PeftModel.from_pretrained` work as they are. What their queries ask for beyond that is ignored.
 */
@Controller()
export class HubController {
  constructor(
    @Inject(HubService) private readonly hub: HubService,
    @Inject(HubFiles) private readonly files: HubFiles,
    @Inject(ReleaseViews) private readonly releases: ReleaseViews,
    @Inject(VersionStore) private readonly store: VersionStore,
    @Inject(Downloads) private readonly downloads: Downloads,
  ) {}

  @Get('api/whoami-v2')
  whoAmI(@Asking() { id, name }: Operator): HubUser {
    return {
      type: 'user',
      id,
      name,
      fullname: name,
      orgs: [],
      auth: { type: 'access_token', accessToken: { displayName: name, role: 'read' } },
    };
  }

  @Get('api/models/:owner/:name')
  async model(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Query('blobs') blobs: unknown,
    @Asking() operator: Operator,
  ): Promise<HubModel> {
    return this.hub.model(await this.seen(operator, owner, name), 'main', isTrue(blobs));
  }

  @Get('api/models/:owner/:name/revision/:revision')
  async modelAt(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('revision') revision: string,
    @Query('blobs') blobs: unknown,
    @Asking() operator: Operator,
  ): Promise<HubModel> {
    return this.hub.model(await this.seen(operator, owner, name), revision, isTrue(blobs));
  }

  @Get('api/models/:owner/:name/refs')
  async refs(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Asking() operator: Operator,
  ): Promise<HubRefs> {
    return this.hub.refs(await this.seen(operator, owner, name));
  }

  /** A page of the files; where it goes on is in the header `Link`. */
  @Get('api/models/:owner/:name/tree/:revision')
  async tree(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('revision') revision: string,
    @Query() query: Readonly<Record<string, unknown>>,
    @Asking() operator: Operator,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<readonly HubEntry[]> {
    const { entries, hasMore } = await this.hub.tree(await this.seen(operator, owner, name), revision, {
      isExpanded: isTrue(query.expand),
      limit: Math.min(Math.max(Math.trunc(Number(query.limit ?? MOST_ENTRIES)) || MOST_ENTRIES, 1), MOST_ENTRIES),
      after: typeof query.cursor === 'string' ? query.cursor : '',
    });
    if (hasMore) {
      const next = new URL(request.originalUrl, `${request.protocol}://${request.get('host') ?? 'localhost'}`);
      next.searchParams.set('cursor', entries.at(-1)?.path ?? '');
      response.setHeader('link', `<${next.href}>; rel="next"`);
    }
    return entries;
  }

  /** Versions have no folders. */
  @Get('api/models/:owner/:name/tree/:revision/*folder')
  async folder(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('revision') revision: string,
    @Asking() operator: Operator,
  ): Promise<readonly HubEntry[]> {
    await this.hub.versionOf(await this.seen(operator, owner, name), revision);
    throw new FedloraError('version/no-file', 'A version has no folders.');
  }

  @Post('api/models/:owner/:name/paths-info/:revision')
  @HttpCode(200)
  async paths(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('revision') revision: string,
    @Body(new ValidatedPipe(PathsInfoRequest)) { paths, expand }: PathsInfoRequest,
    @Asking() operator: Operator,
  ): Promise<readonly HubEntry[]> {
    return this.hub.paths(await this.seen(operator, owner, name), revision, paths, expand === true);
  }

  /** A file: whole, a range of it, or with HEAD what there is to know of it. Streamed from disk. */
  @Get(':owner/:name/resolve/:revision/*file')
  async resolve(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('revision') revision: string,
    @Param('file') path: string | readonly string[],
    @Asking() operator: Operator,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    const { version, file } = await this.found(await this.seen(operator, owner, name), revision, path);
    response.set(headersOf(version, file, file.large?.oid ?? file.oid));
    response.type(file.large === undefined ? 'text/plain; charset=utf-8' : 'application/octet-stream');
    if (file.large !== undefined)
      response.set({ 'x-linked-size': String(file.large.size), 'x-linked-etag': `"${file.large.oid}"` });
    if (isDownload(request, file)) await this.downloads.count(version);
    await sent(request, response, file, dirname((await this.store.locate(version, file.name)).path));
  }

  /** A file as git has it: of weights, the text that stands for them. */
  @Get(':owner/:name/raw/:revision/*file')
  async raw(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('revision') revision: string,
    @Param('file') path: string | readonly string[],
    @Asking() operator: Operator,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    const { version, file } = await this.found(await this.seen(operator, owner, name), revision, path);
    response.set(headersOf(version, file, file.oid));
    response.type('text/plain; charset=utf-8');
    if (file.pointer !== undefined) response.send(file.pointer);
    else await sent(request, response, file, dirname((await this.store.locate(version, file.name)).path));
  }

  private async found(
    repository: RepositoryView,
    revision: string,
    path: string | readonly string[],
  ): Promise<{ readonly version: string; readonly file: HubFile }> {
    const version = await this.hub.versionOf(repository, revision);
    return { version, file: await this.files.find(version, typeof path === 'string' ? path : path.join('/')) };
  }

  /** As on the Hub, a repository that somebody may not see is not there. @throws FedloraError repository/unknown */
  private async seen(operator: Operator, owner: string, name: string): Promise<RepositoryView> {
    const repository = await this.releases.repository(`${owner}/${name}`);
    if (!repository.runs.every((run) => seesRun(operator, run))) throw new FedloraError('repository/unknown');
    return repository;
  }
}

function headersOf(version: string, { name }: HubFile, contentName: string): Record<string, string> {
  return {
    'x-repo-commit': version,
    etag: `"${contentName}"`,
    // It never changes, but may be revoked: who has it asks whether it still may.
    'cache-control': 'private, no-cache',
    'content-disposition': `inline; filename="${name}"`,
  };
}

/** Whether the weights begin to be fetched: not their head, not a first byte that only tells the size, not the rest of a download. */
function isDownload({ method, headers }: Request, { name, large }: HubFile): boolean {
  if (method !== 'GET' || large === undefined || name !== 'adapter_model.safetensors') return false;
  return headers.range === undefined || (/^bytes=0-/.test(headers.range) && headers.range !== 'bytes=0-0');
}

/** Sends a file, or the part of it that the request asks for, or nothing to who has it. Ends well too if the reader leaves. */
function sent(request: Request, response: Response, { name, size }: HubFile, root: string): Promise<void> {
  if (request.headers['if-none-match']?.split(/, */).includes(response.get('etag') ?? '') === true) {
    response.status(304).end();
    return Promise.resolve();
  }
  return new Promise((resolve, reject) => {
    response.sendFile(name, { root, lastModified: false, cacheControl: false }, (error?: SendError) => {
      if (error?.status === 416 && !response.headersSent)
        response.status(416).set('content-range', `bytes */${size}`).end();
      else if (error !== undefined && error.code !== 'ECONNABORTED' && error.code !== 'EPIPE') {
        reject(error);
        return;
      }
      resolve();
    });
  });
}

type SendError = Error & { readonly code?: string; readonly status?: number };

function isTrue(value: unknown): boolean {
  return typeof value === 'string' && ['true', '1'].includes(value.toLowerCase());
}

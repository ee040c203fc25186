import { setTimeout as wait } from 'node:timers/promises';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { FedloraError, PathsInfoRequest, type RepositoryView } from '@fedlora/shared';
import { SharedPieces } from '../adapters/shared-pieces.js';
import { VersionStore } from '../adapters/version-store.js';
import { seesRun, type Operator } from '../access/principal.js';
import { Asking } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { ReleaseViews } from '../release/release-views.js';
import { Downloads } from './downloads.js';
import { HubFiles, type HubFile } from './hub-files.js';
import { HubService, modelSorts, type ModelOrder, type ServedCommit } from './hub.service.js';
import { RegistryChanges } from './registry-changes.js';
import type { HubEntry, HubModel, HubRefs, HubUser } from './hub-types.js';

/** As many as the Hub gives at once. */
const MOST_ENTRIES = 1000;
/** Each of which is looked up. */
const MOST_MODELS = 100;
/** Below what most proxies take for silence. */
const LONGEST_WAIT_S = 55;

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
    @Inject(SharedPieces) private readonly pieces: SharedPieces,
    @Inject(RegistryChanges) private readonly changes: RegistryChanges,
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

  /** A page of the repositories that the asker may see; where it goes on is in the header `Link`. */
  @Get('api/models')
  async models(
    @Query() query: Readonly<Record<string, unknown>>,
    @Asking() operator: Operator,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<readonly HubModel[]> {
    const visible = (await this.releases.repositories()).filter(({ runs }) => sees(operator, runs));
    const { models, next } = await this.hub.models(visible, {
      author: textOf(query.author),
      search: textOf(query.search) ?? '',
      tags: listOf(query.filter),
      order: orderOf(textOf(query.sort), textOf(query.direction)),
      limit: limitOf(query.limit, MOST_MODELS),
      after: textOf(query.cursor) ?? '',
    });
    if (next !== undefined) linkToNext(request, response, next);
    return models;
  }

  @Get('api/models/:owner/:name')
  async model(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Query('blobs') blobs: unknown,
    @Asking() operator: Operator,
  ): Promise<HubModel> {
    return this.hub.model(await this.view(operator, owner, name), 'main', isTrue(blobs));
  }

  @Get('api/models/:owner/:name/revision/:revision')
  async modelAt(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('revision') revision: string,
    @Query('blobs') blobs: unknown,
    @Asking() operator: Operator,
  ): Promise<HubModel> {
    return this.hub.model(await this.view(operator, owner, name), revision, isTrue(blobs));
  }

  @Get('api/models/:owner/:name/refs')
  async refs(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Asking() operator: Operator,
  ): Promise<HubRefs> {
    return this.hub.refs(await this.view(operator, owner, name));
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
      limit: limitOf(query.limit, MOST_ENTRIES),
      after: textOf(query.cursor) ?? '',
    });
    if (hasMore) linkToNext(request, response, entries.at(-1)?.path ?? '');
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
    await this.hub.commitOf(await this.seen(operator, owner, name), revision);
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

  /**
   * A file: whole, a range of it, or with HEAD what there is to know of it. Streamed from disk. Who has it and would rather wait for
   * another one (`If-None-Match` with `Prefer: wait=45`, RFC 7240) is answered when the revision has one, or after so many seconds.
   */
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
    const repository = await this.seen(operator, owner, name);
    const { commit, version, file } = await this.foundAnew(repository, revision, path, request, response);
    response.set(headersOf(commit, file, contentOf(file)));
    response.type(file.large === undefined ? 'text/plain; charset=utf-8' : 'application/octet-stream');
    if (file.large !== undefined)
      response.set({ 'x-linked-size': String(file.large.size), 'x-linked-etag': `"${file.large.oid}"` });
    if (isDownload(request, file) && !hasIt(request, response)) await this.downloads.count(version);
    await this.send(request, response, commit, file);
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
    const { commit, file } = await this.found(await this.seen(operator, owner, name), revision, path);
    response.set(headersOf(commit, file, file.oid));
    response.type('text/plain; charset=utf-8');
    if (file.pointer !== undefined) response.send(file.pointer);
    else await this.send(request, response, commit, file);
  }

  /** Sends a file, or the part of it that the request asks for, or nothing to who has it. Ends well too if the reader leaves. */
  private async send(request: Request, response: Response, commit: string, { name, size }: HubFile): Promise<void> {
    if (hasIt(request, response)) {
      response.status(304).end();
      return;
    }
    const part = partOf(request, response.get('etag') ?? '', size);
    response.set('accept-ranges', 'bytes');
    if (part === 'unsatisfiable') {
      response.status(416).set('content-range', `bytes */${size}`).end();
      return;
    }
    const { begin, end } = part ?? { begin: 0, end: size };
    if (part !== undefined) response.status(206).set('content-range', `bytes ${begin}-${end - 1}/${size}`);
    response.set('content-length', String(end - begin));
    if (request.method === 'HEAD') response.end();
    else await this.pieces.send(response, (await this.store.locate(commit, name)).blob, begin, end);
  }

  /** The file, at once for who has another one or does not wait; else when the revision has another, or the time is over. */
  private async foundAnew(
    repository: string,
    revision: string,
    path: string | readonly string[],
    request: Request,
    response: Response,
  ): Promise<ServedCommit & { readonly file: HubFile }> {
    const seconds = request.method === 'GET' ? waitOf(request) : 0;
    if (seconds === 0) return this.found(repository, revision, path);
    response.set('preference-applied', `wait=${seconds}`);
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const timeIsOver = wait(1000 * seconds, undefined, { signal: gone.signal, ref: false }).catch(() => undefined);
    let isOver = false;
    void timeIsOver.then(() => (isOver = true));
    for (;;) {
      const change = this.changes.next();
      const found = await this.found(repository, revision, path);
      if (isOver || !names(request, `"${contentOf(found.file)}"`)) return found;
      await Promise.race([change, timeIsOver]);
    }
  }

  private async found(
    repository: string,
    revision: string,
    path: string | readonly string[],
  ): Promise<ServedCommit & { readonly file: HubFile }> {
    const served = await this.hub.commitOf(repository, revision);
    return { ...served, file: await this.files.find(served.commit, typeof path === 'string' ? path : path.join('/')) };
  }

  private async view(operator: Operator, owner: string, name: string): Promise<RepositoryView> {
    return this.releases.repository(await this.seen(operator, owner, name));
  }

  /** A repository’s name; as on the Hub, one that somebody may not see is not there. @throws FedloraError repository/unknown */
  private async seen(operator: Operator, owner: string, name: string): Promise<string> {
    const repository = `${owner}/${name}`;
    if (!sees(operator, await this.releases.runsOf(repository))) throw new FedloraError('repository/unknown');
    return repository;
  }
}

function sees(operator: Operator, runs: readonly string[]): boolean {
  return runs.every((run) => seesRun(operator, run));
}

/** The same request again, from `cursor` on. */
function linkToNext(request: Request, response: Response, cursor: string): void {
  const next = new URL(request.originalUrl, `${request.protocol}://${request.get('host') ?? 'localhost'}`);
  next.searchParams.set('cursor', cursor);
  response.setHeader('link', `<${next.href}>; rel="next"`);
}

function headersOf(commit: string, { name }: HubFile, contentName: string): Record<string, string> {
  return {
    'x-repo-commit': commit,
    etag: `"${contentName}"`,
    // It never changes, but may be revoked: who has it asks whether it still may.
    'cache-control': 'private, no-cache',
    'content-disposition': `inline; filename="${name}"`,
  };
}

/**
 * The bytes that a request asks for; `undefined` for all of them.
 *
 * Edge cases several parts, or what is no range -> all, as HTTP allows | If-Range names another content -> all
 */
function partOf(
  request: Request,
  etag: string,
  size: number,
): { readonly begin: number; readonly end: number } | 'unsatisfiable' | undefined {
  const condition = request.headers['if-range'];
  if (condition !== undefined && condition !== etag) return undefined;
  const ranges = request.range(size, { combine: true });
  if (ranges === -1) return 'unsatisfiable';
  if (ranges === undefined || ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1) return undefined;
  return { begin: ranges[0].start, end: ranges[0].end + 1 };
}

/** Whether the asker named the content that it would get. */
function hasIt(request: Request, response: Response): boolean {
  return names(request, response.get('etag') ?? '');
}

function names({ headers }: Request, tag: string): boolean {
  return headers['if-none-match']?.split(/, */).includes(tag) === true;
}

/** Of weights, the hash of what they are and not of the text that stands for them. */
function contentOf(file: HubFile): string {
  return file.large?.oid ?? file.oid;
}

/** Seconds that the asker prefers to wait; 0 for who does not. */
function waitOf({ headers }: Request): number {
  const preference = /(?:^|,)\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:[;,]|$)/i.exec(String(headers.prefer ?? ''));
  return Math.min(Number(preference?.[1] ?? 0), LONGEST_WAIT_S);
}

/** Whether the weights begin to be fetched: not their head, not a first byte that only tells the size, not the rest of a download. */
function isDownload({ method, headers }: Request, { name, large }: HubFile): boolean {
  if (method !== 'GET' || large === undefined || name !== 'adapter_model.safetensors') return false;
  return headers.range === undefined || (/^bytes=0-/.test(headers.range) && headers.range !== 'bytes=0-0');
}

/** From 1 to `most`, which is also the default. */
function limitOf(value: unknown, most: number): number {
  return Math.min(Math.max(Math.trunc(Number(value ?? most)) || most, 1), most);
}

/**
 * `sort` and `direction` as the Hub has them: 1 is upwards, -1 downwards. Its clients send no direction where they mean the most and the
 * newest first.
 *
 * @throws FedloraError request/invalid: nothing is sorted by this
 */
function orderOf(sort: string | undefined, direction: string | undefined): ModelOrder {
  const by = modelSorts.find((one) => one === (sort ?? 'id'));
  if (by === undefined) throw new FedloraError('request/invalid', `sort must be one of ${modelSorts.join(', ')}.`);
  if (direction !== undefined && direction !== '1' && direction !== '-1')
    throw new FedloraError('request/invalid', 'direction must be 1 or -1.');
  return { by, isDescending: direction === undefined ? by !== 'id' : direction === '-1' };
}

/** Of parameters that are given more than once, the first. */
function textOf(value: unknown): string | undefined {
  return listOf(value)[0];
}

/** Of parameters that may be given more than once. */
function listOf(value: unknown): readonly string[] {
  return [value].flat().filter((one) => typeof one === 'string');
}

function isTrue(value: unknown): boolean {
  return typeof value === 'string' && ['true', '1'].includes(value.toLowerCase());
}

/** The answers of the Hub's API, field by field. */

import { privacyUnits } from '@fedlora/protocol';
import { integer, listOf, number, objectOf, oneOf, orAbsent, orNull, text, type Schema } from '../api/schema.js';
import type {
  HubCommit,
  HubEntry,
  HubLargeFile,
  HubModel,
  HubRef,
  HubRefs,
  HubRelease,
  HubSibling,
  HubUser,
} from './hub-types.js';

const iso = text({ format: 'date-time' });
const id = text({ pattern: '^[0-9a-f]{40}$' });
const constant = <Value extends boolean>(value: Value): Schema<Value> => ({ json: { type: 'boolean', const: value } });

export const hubEntry = objectOf<HubEntry>('HubEntry', {
  type: oneOf(['file']),
  path: text(),
  size: integer,
  oid: id,
  lfs: orAbsent(objectOf<HubLargeFile>('HubLargeFile', { oid: text(), size: integer, pointerSize: integer })),
  lastCommit: orAbsent(objectOf<HubCommit>('HubCommit', { id, title: text(), date: iso })),
});

const sibling = objectOf<HubSibling>('HubSibling', {
  rfilename: text(),
  size: orAbsent(integer),
  blobId: orAbsent(id),
  lfs: orAbsent(
    objectOf<NonNullable<HubSibling['lfs']>>('HubBlob', { sha256: text(), size: integer, pointerSize: integer }),
  ),
});

const release = objectOf<HubRelease>('HubRelease', {
  channels: listOf(text()),
  unit: oneOf(privacyUnits),
  epsilon: orNull(number),
  delta: orNull(number),
  organisations: integer,
  manifestHash: text(),
  deprecated: orNull(text()),
});

export const hubModel = objectOf<HubModel>('HubModel', {
  _id: text(),
  id: text(),
  modelId: text(),
  author: text(),
  sha: id,
  private: constant(true),
  gated: constant(false),
  disabled: constant(false),
  downloads: integer,
  likes: integer,
  createdAt: iso,
  lastModified: iso,
  library_name: oneOf(['peft']),
  tags: listOf(text()),
  cardData: objectOf<HubModel['cardData']>('HubCard', { base_model: text(), library_name: oneOf(['peft']) }),
  config: objectOf<HubModel['config']>('HubConfig', {
    peft: objectOf<HubModel['config']['peft']>('HubPeftConfig', {
      base_model_name_or_path: text(),
      task_type: oneOf(['CAUSAL_LM']),
    }),
  }),
  siblings: listOf(sibling),
  usedStorage: integer,
  fedlora: release,
});

const refs = listOf(objectOf<HubRef>('HubRef', { name: text(), ref: text(), targetCommit: id }));
export const hubRefs = objectOf<HubRefs>('HubRefs', { branches: refs, tags: refs, converts: refs });

export const hubUser = objectOf<HubUser>('HubUser', {
  type: oneOf(['user']),
  id: text(),
  name: text(),
  fullname: text(),
  orgs: listOf(text()),
  auth: objectOf<HubUser['auth']>('HubAuth', {
    type: oneOf(['access_token']),
    accessToken: objectOf<HubUser['auth']['accessToken']>('HubAccessToken', {
      displayName: text(),
      role: oneOf(['read']),
    }),
  }),
});

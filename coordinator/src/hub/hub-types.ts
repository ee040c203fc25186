/** What the Hugging Face Hub's API answers about models, as far as its clients read it. */

import type { PrivacyUnit } from '@fedlora/protocol';

/** A large file: stored by the SHA-256 of its content. */
export interface HubLargeFile {
  readonly oid: string;
  readonly size: number;
  /** Of the text that stands for it in git. */
  readonly pointerSize: number;
}

export interface HubCommit {
  readonly id: string;
  readonly title: string;
  /** ISO 8601. */
  readonly date: string;
}

export interface HubEntry {
  readonly type: 'file';
  readonly path: string;
  readonly size: number;
  /** As git would name it: 40 hex digits. */
  readonly oid: string;
  readonly lfs?: HubLargeFile | undefined;
  /** If asked for. */
  readonly lastCommit?: HubCommit | undefined;
}

export interface HubSibling {
  readonly rfilename: string;
  /** With `?blobs=true`. */
  readonly size?: number | undefined;
  readonly blobId?: string | undefined;
  readonly lfs?: { readonly sha256: string; readonly size: number; readonly pointerSize: number } | undefined;
}

/** Ours, beside what the Hub has. */
export interface HubRelease {
  readonly channels: readonly string[];
  readonly unit: PrivacyUnit;
  readonly epsilon: number | null;
  readonly delta: number | null;
  readonly organisations: number;
  readonly manifestHash: string;
  /** Why it is better not used; `null`: nobody advises against it. */
  readonly deprecated: string | null;
}

export interface HubModel {
  readonly _id: string;
  readonly id: string;
  readonly modelId: string;
  readonly author: string;
  /** The version that the revision stands for. */
  readonly sha: string;
  readonly private: true;
  readonly gated: false;
  readonly disabled: false;
  readonly downloads: number;
  readonly likes: number;
  readonly createdAt: string;
  readonly lastModified: string;
  readonly library_name: 'peft';
  readonly tags: readonly string[];
  readonly cardData: { readonly base_model: string; readonly library_name: 'peft' };
  readonly config: { readonly peft: { readonly base_model_name_or_path: string; readonly task_type: 'CAUSAL_LM' } };
  readonly siblings: readonly HubSibling[];
  readonly usedStorage: number;
  readonly fedlora: HubRelease;
}

export interface HubRef {
  readonly name: string;
  readonly ref: string;
  readonly targetCommit: string;
}

export interface HubRefs {
  readonly branches: readonly HubRef[];
  readonly tags: readonly HubRef[];
  readonly converts: readonly HubRef[];
}

/** Who asks, as `whoami-v2` says it. */
export interface HubUser {
  readonly type: 'user';
  readonly id: string;
  readonly name: string;
  readonly fullname: string;
  readonly orgs: readonly string[];
  readonly auth: {
    readonly type: 'access_token';
    readonly accessToken: { readonly displayName: string; readonly role: 'read' };
  };
}

/** Who may do what, as the API shows it. */

/** What the API lets somebody do. */
export const permissions = [
  'organisations.read',
  'organisations.manage',
  'runs.read',
  'runs.manage',
  'versions.read',
  'versions.manage',
  'outcomes.write',
  'audit.read',
  'users.manage',
  'tokens.manage',
] as const;
export type Permission = (typeof permissions)[number];

/** Permissions that make sense for single runs; the others are about the whole federation. */
export const runPermissions: readonly Permission[] = [
  'organisations.read',
  'runs.read',
  'runs.manage',
  'versions.read',
  'versions.manage',
  'outcomes.write',
];

export const roles = ['admin', 'operator', 'viewer'] as const;
export type Role = (typeof roles)[number];

const viewer: readonly Permission[] = ['organisations.read', 'runs.read', 'versions.read'];
const operator: readonly Permission[] = [
  ...viewer,
  'organisations.manage',
  'runs.manage',
  'versions.manage',
  'outcomes.write',
  'tokens.manage',
];

/** What each role may do. An administrator may do everything. */
export const permissionsOf: Readonly<Record<Role, readonly Permission[]>> = { viewer, operator, admin: permissions };

export interface UserView {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** The runs that the user is limited to; `null`: no limit. */
  readonly runs: readonly string[] | null;
  readonly disabled: boolean;
  /** Whether a password was set; before, only a set-up link opens. */
  readonly hasPassword: boolean;
  readonly hasSecondFactor: boolean;
  /** Whether the identity provider signs the user in and says the role; such a user has no password. */
  readonly fromProvider: boolean;
  readonly createdAt: number;
  readonly lastSignInAt: number | null;
}

/** A one-time link with which a user sets the password; shown once. */
export interface SetupLinkView {
  readonly user: UserView;
  /** Appended to the coordinator's address it is the link: `/#setup=TOKEN`. */
  readonly token: string;
  readonly expiresAt: number;
}

/** How users can sign in, besides with a password. */
export interface SignInWays {
  /** What the identity provider is called on the page; `null`: there is none. */
  readonly provider: string | null;
}

/** A sign-in with the identity provider that has begun; the cookie that comes with it belongs to it. */
export interface ProviderRedirect {
  /** Where the browser goes next: a page of the provider's. */
  readonly url: string;
}

/** Who is asking, as the API sees it. */
export interface MeView {
  readonly kind: 'user' | 'token';
  readonly id: string;
  readonly name: string;
  readonly permissions: readonly Permission[];
  readonly runs: readonly string[] | null;
  /** Goes into the header `x-csrf-token` of every change; `null` for API tokens, which need none. */
  readonly csrfToken: string | null;
  /** Of the user; `false` for tokens, and for users whom the identity provider signs in. */
  readonly hasPassword: boolean;
  /** For users. */
  readonly hasSecondFactor: boolean;
}

export interface SignInView {
  readonly id: string;
  readonly createdAt: number;
  readonly usedAt: number;
  readonly address: string;
  /** What the browser calls itself. */
  readonly agent: string;
  /** Whether this request came with it. */
  readonly current: boolean;
}

export interface ApiTokenView {
  readonly id: string;
  readonly name: string;
  readonly permissions: readonly Permission[];
  readonly runs: readonly string[] | null;
  /** Name of the user who made it; it can never do more than this user. */
  readonly createdBy: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly lastUsedAt: number | null;
}

/** An API token as it is made: the only time it is shown. */
export interface NewApiToken extends ApiTokenView {
  readonly token: string;
}

/** A second factor that is offered and not yet confirmed. */
export interface TotpOffer {
  /** Base32. */
  readonly secret: string;
  /** For a QR code: `otpauth://totp/…`. */
  readonly uri: string;
}

/** Each opens once in place of a code; shown once. */
export interface RecoveryCodes {
  readonly recoveryCodes: readonly string[];
}

/** Header of changes that come with a cookie. */
export const CSRF_HEADER = 'x-csrf-token';

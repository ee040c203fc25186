/**
 * Users: made by an administrator, opened by a one-time link with which each sets a password that nobody else ever knows.
 *
 * The first administrator comes to be in the same way: until one has a password, every start prints a fresh link.
 */

import {
  FedloraError,
  type MeView,
  type NewUser,
  type PlainObject,
  type RecoveryCodes,
  type SetupLinkView,
  type TotpOffer,
  type UserChange,
  type UserView,
} from '@fedlora/shared';
import { expectUnchanged } from '../api/entity-tag.js';
import type { AuditLog } from '../audit/audit-log.js';
import { bySystem, type Origin } from '../audit/origin.js';
import type { Announcements } from '../observe/announcements.js';
import { createId, createToken, tokenHash } from '../storage/keys.js';
import type { Identity } from './identity-provider.js';
import type { Lockout } from './lockout.js';
import { expectStrong, hashPassword, isPassword } from './passwords.js';
import type { Operator } from './principal.js';
import type { SignInOrigin, SignIns } from './sign-ins.js';
import { createRecoveryCodes, createTotpSecret, recoveryHash, stepOfCode, totpUri } from './totp.js';
import { userView, type User, type UsersRepository } from './users.repository.js';

const LINK_MS = 24 * 3600_000;
const FIRST_ADMIN = 'admin';

export interface UserParts {
  readonly users: UsersRepository;
  readonly signIns: SignIns;
  readonly lockout: Lockout;
  readonly audit: AuditLog;
  readonly announcements: Announcements;
  /** Of the identity provider that is configured: who signs in there may be the only administrator. */
  readonly issuer?: string;
  readonly now: () => number;
}

export interface Credentials {
  readonly name: string;
  readonly password: string;
  readonly code?: string;
}

export class UserService {
  constructor(private readonly parts: UserParts) {}

  /** A link for the first administrator, as long as nobody can administer. */
  async firstAdminLink(): Promise<string | undefined> {
    if ((await this.parts.users.admins(this.parts.issuer)).length > 0) return undefined;
    return this.adminLink();
  }

  /** A link for `admin`, made if missing and enabled if not; takes its second factor away. For who can write to the data folder. */
  async adminLink(): Promise<string> {
    const { users, audit, lockout, now } = this.parts;
    const token = createToken();
    await lockout.forget(FIRST_ADMIN);
    await audit.recording(async (trx) => {
      const known = await users.byName(FIRST_ADMIN, trx);
      const user = known ?? newUser(FIRST_ADMIN, 'admin', null, now());
      if (known === undefined) await users.add(user, trx);
      else
        await users.change(
          user.id,
          { role: 'admin', runs: null, disabled: 0, totp_secret: null, totp_pending: null },
          trx,
        );
      await users.link(user.id, tokenHash(token), now() + LINK_MS, trx);
      return [{ event: 'user.linked', by: bySystem, details: { id: user.id, name: user.name } }, undefined] as const;
    });
    return token;
  }

  async list(): Promise<UserView[]> {
    return (await this.parts.users.list()).map(userView);
  }

  /** @throws FedloraError access/unknown-user */
  async find(id: string): Promise<UserView> {
    return userView(await this.expect(id));
  }

  /** @throws FedloraError access/name-taken */
  async create(request: NewUser, by: Origin): Promise<SetupLinkView> {
    const { users, audit, now } = this.parts;
    const token = createToken();
    const expiresAt = now() + LINK_MS;
    return audit.recording(async (trx) => {
      if ((await users.byName(request.name, trx)) !== undefined) throw new FedloraError('access/name-taken');
      const user = newUser(request.name, request.role, request.runs ?? null, now());
      await users.add(user, trx);
      await users.link(user.id, tokenHash(token), expiresAt, trx);
      const record = { event: 'user.created', by, details: { id: user.id, name: user.name }, after: rightsOf(user) };
      return [record, { user: userView(user), token, expiresAt }] as const;
    });
  }

  /**
   * Changes role, scope or whether the user is disabled. With effect at once: sign-ins and tokens are asked anew at every request.
   *
   * @throws FedloraError access/unknown-user | access/last-admin | access/provider-user | request/changed
   */
  async change(id: string, change: UserChange, by: Origin, ifMatch?: string): Promise<UserView> {
    const { users, audit, announcements } = this.parts;
    const changed = await audit.recording(async (trx) => {
      const before = await users.byId(id, trx);
      if (before === undefined) throw new FedloraError('access/unknown-user');
      expectUnchanged(ifMatch, userView(before));
      // The next sign-in would undo it.
      if (before.subject !== null && change.role != null && change.role !== before.role)
        throw new FedloraError('access/provider-user');
      await users.change(
        id,
        {
          role: change.role ?? before.role,
          runs: change.runs === undefined ? before.runs : textOfRuns(change.runs),
          disabled: change.disabled == null ? before.disabled : Number(change.disabled),
        },
        trx,
      );
      if ((await users.admins(this.parts.issuer, trx)).length === 0) throw new FedloraError('access/last-admin');
      const after = { ...before, ...(await users.byId(id, trx)) };
      const details = { id, name: before.name };
      return [{ event: 'user.changed', by, details, before: rightsOf(before), after: rightsOf(after) }, after] as const;
    });
    if (changed.disabled !== 0) await this.parts.signIns.endAll(id);
    announcements.tell('access.changed', id);
    return userView(changed);
  }

  /**
   * A fresh link for a user who lost the password; the old one is good until the link is used.
   *
   * @throws FedloraError access/unknown-user | access/provider-user
   */
  async link(id: string, removeSecondFactor: boolean, by: Origin): Promise<SetupLinkView> {
    const { users, audit, lockout, now } = this.parts;
    const token = createToken();
    const expiresAt = now() + LINK_MS;
    const { name, subject } = await this.expect(id);
    if (subject !== null) throw new FedloraError('access/provider-user');
    await lockout.forget(name);
    return audit.recording(async (trx) => {
      if (removeSecondFactor) await users.change(id, { totp_secret: null, totp_pending: null }, trx);
      await users.link(id, tokenHash(token), expiresAt, trx);
      const user = await users.byId(id, trx);
      if (user === undefined) throw new FedloraError('access/unknown-user');
      const details = { id, name: user.name, removeSecondFactor };
      return [
        { event: 'user.linked', by, details },
        { user: userView(user), token, expiresAt },
      ] as const;
    });
  }

  /** Ends every sign-in of a user. @throws FedloraError access/unknown-user */
  async endSignIns(id: string, by: Origin): Promise<void> {
    const { name } = await this.expect(id);
    await this.parts.signIns.endAll(id);
    await this.parts.audit.record({ event: 'user.signed-out', by, details: { id, name, all: true } });
    this.parts.announcements.tell('access.changed', id);
  }

  /** Sets the password of a link's holder, and ends the sign-ins there were. @throws FedloraError access/link-spent | access/weak-password */
  async setUp(token: string, password: string, by: Origin): Promise<void> {
    const { users, signIns, audit, announcements, now } = this.parts;
    const password_hash = await hashPassword(password);
    const id = await audit.recording(async (trx) => {
      const link = await users.takeLink(tokenHash(token), trx);
      const user = link === undefined ? undefined : await users.byId(link.user_id, trx);
      if (link === undefined || user === undefined || user.disabled !== 0 || link.expires_at <= now())
        throw new FedloraError('access/link-spent');
      expectStrong(password, user.name); // Throwing puts the link back.
      await users.change(user.id, { password_hash }, trx);
      const actor = { kind: 'user' as const, id: user.id, name: user.name };
      return [
        { event: 'user.password.set', by: { ...by, actor }, details: { id: user.id, name: user.name } },
        user.id,
      ] as const;
    });
    await signIns.endAll(id);
    announcements.tell('access.changed', id);
  }

  /**
   * Opens a sign-in; returns the token for the cookie.
   *
   * @throws FedloraError access/wrong-credentials | access/second-factor-required | access/locked: `details.retryAfterMs`
   */
  async signIn(credentials: Credentials, from: SignInOrigin, by: Origin): Promise<string> {
    const { users, signIns, audit, now } = this.parts;
    const user = await this.prove(credentials.name, credentials.password, by, credentials.code);
    const actor = { kind: 'user' as const, id: user.id, name: user.name };
    const token = await signIns.begin(user.id, from);
    await audit.recording(async (trx) => {
      await users.change(user.id, { last_sign_in_at: now() }, trx);
      return [{ event: 'user.signed-in', by: { ...by, actor } }, undefined] as const;
    });
    return token;
  }

  /**
   * Opens a sign-in of whom the identity provider signed in, who becomes a user at the first time and has the provider's role from
   * then on; returns the token for the cookie. A user is known by issuer and subject, never by name: whoever can choose a name at the
   * provider must not become somebody else here.
   *
   * @throws FedloraError access/name-taken | access/user-disabled
   */
  async signInFromProvider(identity: Identity, from: SignInOrigin, by: Origin): Promise<string> {
    const { users, signIns, audit, announcements, now } = this.parts;
    const { issuer, subject, name, role } = identity;
    const { id, isChanged } = await audit.transaction(async (trx) => {
      const known = await users.bySubject(issuer, subject, trx);
      if (known === undefined && (await users.byName(name, trx)) !== undefined)
        throw new FedloraError('access/name-taken', `Another user is called ${name} here.`);
      if (known !== undefined && known.disabled !== 0) throw new FedloraError('access/user-disabled');
      const user: User = { ...(known ?? { ...newUser(name, role, null, now()), issuer, subject }), role };
      if (known === undefined) await users.add(user, trx);
      await users.change(user.id, { role, last_sign_in_at: now() }, trx);
      const actor = { kind: 'user' as const, id: user.id, name: user.name };
      const record = { by: { ...by, actor }, details: { id: user.id, name: user.name, issuer } };
      if (known === undefined) await audit.append({ ...record, event: 'user.created', after: rightsOf(user) }, trx);
      else if (known.role !== role)
        await audit.append({ ...record, event: 'user.changed', before: rightsOf(known), after: rightsOf(user) }, trx);
      await audit.append({ ...record, event: 'user.signed-in' }, trx);
      return { id: user.id, isChanged: known?.role !== role };
    });
    if (isChanged) announcements.tell('access.changed', id);
    return signIns.begin(id, from);
  }

  /** Ends the sign-ins of whom the identity provider no longer gives a role; does nothing for who never was a user. */
  async endSignInsOfSubject(issuer: string, subject: string, by: Origin): Promise<void> {
    const user = await this.parts.users.bySubject(issuer, subject);
    if (user !== undefined) await this.endSignIns(user.id, by);
  }

  async signOut(operator: Operator, by: Origin): Promise<void> {
    if (operator.signIn === undefined) throw new FedloraError('access/unknown-sign-in');
    await this.endSignIn(operator, operator.signIn.id, by);
  }

  /** @throws FedloraError access/unknown-sign-in */
  async endSignIn(operator: Operator, id: string, by: Origin): Promise<void> {
    if (!(await this.parts.signIns.end(operator.userId, id))) throw new FedloraError('access/unknown-sign-in');
    await this.parts.audit.record({ event: 'user.signed-out', by, details: { signIn: id, all: false } });
    this.parts.announcements.tell('access.changed', operator.userId);
  }

  async me(operator: Operator): Promise<MeView> {
    const { kind, id, name, permissions, runs, signIn, userId } = operator;
    const { totp_secret: secret, password_hash: password } = await this.expect(userId);
    return {
      kind,
      id,
      name,
      permissions: [...permissions],
      runs: runs === null ? null : [...runs],
      csrfToken: signIn?.csrfToken ?? null,
      hasPassword: kind === 'user' && password !== null,
      hasSecondFactor: kind === 'user' && secret !== null,
    };
  }

  /** Other sign-ins of the user end. @throws FedloraError access/wrong-credentials | access/locked | access/weak-password */
  async changePassword(operator: Operator, password: string, newPassword: string, by: Origin): Promise<void> {
    const { users, signIns, audit, announcements } = this.parts;
    const user = await this.proveAgain(operator, password, by);
    expectStrong(newPassword, user.name);
    const password_hash = await hashPassword(newPassword);
    await audit.recording(async (trx) => {
      await users.change(user.id, { password_hash }, trx);
      return [{ event: 'user.password.set', by, details: { id: user.id, name: user.name } }, undefined] as const;
    });
    await signIns.endAll(user.id, operator.signIn?.id);
    announcements.tell('access.changed', user.id);
  }

  /** Offers a second factor; nothing changes until a code confirms it. @throws FedloraError access/wrong-credentials | access/second-factor-state */
  async offerTotp(operator: Operator, password: string, by: Origin): Promise<TotpOffer> {
    const user = await this.proveAgain(operator, password, by);
    if (user.totp_secret !== null) throw new FedloraError('access/second-factor-state');
    const secret = createTotpSecret();
    await this.parts.users.change(user.id, { totp_pending: secret });
    return { secret, uri: totpUri(secret, user.name) };
  }

  /** @throws FedloraError access/wrong-credentials: the code is wrong | access/second-factor-state | access/locked */
  async confirmTotp(operator: Operator, code: string, by: Origin): Promise<RecoveryCodes> {
    const { users, audit, now } = this.parts;
    const user = await this.expect(operator.userId);
    if (user.totp_pending === null) throw new FedloraError('access/second-factor-state');
    await this.expectUnlocked(user.name);
    const step = stepOfCode(user.totp_pending, code, now(), null);
    if (step === undefined) return this.refuse(user.name, by);
    const recoveryCodes = createRecoveryCodes();
    return audit.recording(async (trx) => {
      await users.change(user.id, { totp_secret: user.totp_pending, totp_pending: null, totp_step: step }, trx);
      await users.setRecoveryCodes(user.id, recoveryCodes.map(recoveryHash), trx);
      return [{ event: 'user.second-factor.set', by, details: { id: user.id } }, { recoveryCodes }] as const;
    });
  }

  /** @throws FedloraError access/wrong-credentials | access/second-factor-state */
  async removeTotp(operator: Operator, password: string, by: Origin): Promise<void> {
    const { users, audit } = this.parts;
    const user = await this.proveAgain(operator, password, by);
    if (user.totp_secret === null) throw new FedloraError('access/second-factor-state');
    await audit.recording(async (trx) => {
      await users.change(user.id, { totp_secret: null, totp_step: null }, trx);
      await users.setRecoveryCodes(user.id, [], trx);
      return [{ event: 'user.second-factor.removed', by, details: { id: user.id } }, undefined] as const;
    });
  }

  /** The user whose password, and code where one is called for, these are. Wrong ones are counted and recorded. */
  private async prove(name: string, password: string, by: Origin, code: string | undefined): Promise<User> {
    const { users, lockout } = this.parts;
    await this.expectUnlocked(name);
    const user = await users.byName(name);
    const isRight = await isPassword(password, user === undefined || user.disabled !== 0 ? null : user.password_hash);
    if (user === undefined || !isRight) return this.refuse(name, by);
    if (user.totp_secret !== null) {
      if (code === undefined) throw new FedloraError('access/second-factor-required');
      if (!(await this.takeCode(user, user.totp_secret, code))) return this.refuse(name, by);
    }
    await lockout.forget(name);
    return user;
  }

  /** Somebody may sit at a screen that another left open. */
  private async proveAgain(operator: Operator, password: string, by: Origin): Promise<User> {
    const user = await this.expect(operator.userId);
    await this.expectUnlocked(user.name);
    if (!(await isPassword(password, user.password_hash))) return this.refuse(user.name, by);
    return user;
  }

  private async takeCode(user: User, secret: string, code: string): Promise<boolean> {
    const { users, audit, now } = this.parts;
    const step = stepOfCode(secret, code.replaceAll(' ', ''), now(), user.totp_step);
    if (step !== undefined) return users.takeStep(user.id, step);
    const actor = { kind: 'user' as const, id: user.id, name: user.name };
    return audit.transaction(async (trx) => {
      const isTaken = await users.takeRecoveryCode(user.id, recoveryHash(code), trx);
      if (isTaken) await audit.append({ event: 'user.recovery-code.used', by: { ...bySystem, actor } }, trx);
      return isTaken;
    });
  }

  private async expectUnlocked(name: string): Promise<void> {
    const retryAfterMs = await this.parts.lockout.lockedFor(name);
    if (retryAfterMs > 0) throw new FedloraError('access/locked', undefined, { details: { retryAfterMs } });
  }

  private async refuse(name: string, by: Origin): Promise<never> {
    const failures = await this.parts.lockout.failed(name);
    await this.parts.audit.record({ event: 'user.sign-in.refused', by, details: { name, failures } });
    throw new FedloraError('access/wrong-credentials');
  }

  private async expect(id: string): Promise<User> {
    const user = await this.parts.users.byId(id);
    if (user === undefined) throw new FedloraError('access/unknown-user');
    return user;
  }
}

function newUser(name: string, role: string, runs: readonly string[] | null, now: number): User {
  return {
    id: createId(),
    name,
    password_hash: null,
    role,
    runs: textOfRuns(runs),
    totp_secret: null,
    totp_pending: null,
    totp_step: null,
    disabled: 0,
    created_at: now,
    last_sign_in_at: null,
    issuer: null,
    subject: null,
  };
}

function textOfRuns(runs: readonly string[] | null): string | null {
  return runs === null ? null : JSON.stringify(runs);
}

/** What an auditor compares. */
function rightsOf(user: User): PlainObject {
  const { role, runs, disabled } = userView(user);
  return { role, runs: runs === null ? null : [...runs], disabled };
}

import { Textarea, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import type { ChannelView, ReleaseView } from '@fedlora/shared';
import { api } from '../../api.js';
import { ConfirmButton } from '../../blocks/confirm-button.js';
import { shorten } from '../../format.js';
import { useMay } from '../../session.js';
import { asShown } from './as-shown.js';
import { DecisionButton } from './decision-button.js';
import { GateChecks } from './gate-badge.js';

const STABLE = 'stable';

/** What can be done with a version; nothing for who may only look. */
export function VersionDecisions({ release }: { release: ReleaseView }) {
  const client = useQueryClient();
  if (!useMay('versions.manage')) return null;
  const after = async <Answer,>(change: Promise<Answer>): Promise<Answer> => {
    const answer = await change;
    await client.invalidateQueries({ queryKey: ['versions'] });
    return answer;
  };
  const name = `version ${shorten(release.id)}`;
  const isPassed = release.gate.outcome === 'passed';
  return (
    <>
      {release.revoked === null && (
        <DecisionButton
          question={`Promote ${name}?`}
          consequence={
            <>
              <p>
                Services that pull the channel get this version from then on. The channel remembers what it had, and can
                be rolled back.
              </p>
              <GateChecks gate={release.gate} />
            </>
          }
          action={isPassed ? 'Promote' : 'Promote all the same'}
          isDestructive={!isPassed}
          initialValues={{ channel: STABLE, override: '' }}
          inputs={(fields) => (
            <>
              <TextInput
                label="Channel"
                description="A new name makes a new channel."
                required
                {...fields.getInputProps('channel')}
              />
              {!isPassed && (
                <Textarea
                  label="Why all the same"
                  description="The gate is not passed. The audit log keeps the reason."
                  required
                  autosize
                  minRows={2}
                  {...fields.getInputProps('override')}
                />
              )}
            </>
          )}
          onDecide={({ channel, override }) => after(promote(release, channel.trim(), isPassed ? undefined : override))}
        >
          Promote
        </DecisionButton>
      )}
      {release.revoked === null && (
        <DecisionButton
          question={`Tag ${name}?`}
          consequence={<p>The tag names this version for good: services that pull it by the tag never get another.</p>}
          action="Tag"
          initialValues={{ tag: '' }}
          inputs={(fields) => (
            <TextInput label="Tag" description="As v1.2 or spring." required {...fields.getInputProps('tag')} />
          )}
          onDecide={({ tag }) => after(api.tagVersion(release.repository, tag.trim(), { version: release.id }))}
        >
          Tag
        </DecisionButton>
      )}
      {release.tags.map((tag) => (
        <ConfirmButton
          key={tag}
          question={`Take the tag ${tag} away?`}
          consequence={<p>Services that pull by this tag find nothing any more. The name can be given again.</p>}
          action="Take away"
          isDestructive
          onConfirm={() => after(api.removeTag(release.repository, tag))}
        >
          Remove {tag}
        </ConfirmButton>
      ))}
      {release.revoked === null && release.deprecated === null && (
        <DecisionButton
          question={`Deprecate ${name}?`}
          consequence={<p>It stays where it is, with your note for those who use it. You can take it back.</p>}
          action="Deprecate"
          initialValues={{ note: '' }}
          inputs={(fields) => (
            <Textarea
              label="Note"
              description="What to use instead, and why."
              required
              autosize
              minRows={2}
              {...fields.getInputProps('note')}
            />
          )}
          onDecide={({ note }) => after(api.deprecateVersion(release.id, { note }))}
        >
          Deprecate
        </DecisionButton>
      )}
      {release.deprecated !== null && (
        <ConfirmButton
          question={`Take the advice against ${name} back?`}
          consequence={<p>Nobody is advised against it any more.</p>}
          action="Take back"
          onConfirm={() => after(api.undeprecateVersion(release.id))}
        >
          No longer deprecated
        </ConfirmButton>
      )}
      {release.revoked === null && (
        <DecisionButton
          color="red"
          variant="outline"
          question={`Revoke ${name} for good?`}
          consequence={
            <>
              <p>
                <strong>This cannot be undone.</strong> Its files are given to nobody any more but the organisations
                whose run still trains from it, and every channel that has it
                {release.channels.length > 0 && `, now ${release.channels.join(' and ')},`} falls back to what it had
                before.
              </p>
              <p>
                Versions that were trained from it stay, and no longer pass the gate. A run that goes on: stop it too.
              </p>
            </>
          }
          action="Revoke for good"
          isDestructive
          initialValues={{ reason: '' }}
          inputs={(fields) => (
            <Textarea
              label="Reason"
              description="Told to whoever asks for its files."
              required
              autosize
              minRows={2}
              {...fields.getInputProps('reason')}
            />
          )}
          onDecide={({ reason }) => after(api.revokeVersion(release.id, { reason }))}
        >
          Revoke
        </DecisionButton>
      )}
    </>
  );
}

/** To `stable` only if it still has the version that the gate, as it is shown, compares with. */
async function promote(release: ReleaseView, channel: string, override: string | undefined): Promise<ChannelView> {
  const { id, repository, gate } = release;
  const condition = await asShown(
    repository,
    channel,
    (present) => channel !== STABLE || (present?.version ?? null) === gate.reference,
  );
  return api.promote(repository, channel, { version: id, ...(override === undefined ? {} : { override }) }, condition);
}

import { Link } from '@tanstack/react-router';
import type { ReleaseView } from '@fedlora/shared';
import { CopyButton } from '../../blocks/copy-button.js';
import { Hint } from '../../blocks/hint.js';
import { shorten } from '../../format.js';

/** A version by the first digits of its id; leads to its page. */
export function VersionLink({ id }: { id: string }) {
  return (
    <Link to="/versions/$id" params={{ id }} className="version-link" title={id}>
      <code>{shorten(id)}</code>
    </Link>
  );
}

export function CopyVersion({ id }: { id: string }) {
  return <CopyButton value={id} what={`the id of version ${shorten(id)}`} />;
}

/** Where the version is released, and what was said of it. */
export function VersionBadges({ release }: { release: ReleaseView }) {
  const { channels, tags, revoked, deprecated } = release;
  return (
    <span className="badges">
      {channels.map((channel) => (
        <span key={channel} className={`tag tone-${channel === 'stable' ? 'good' : 'plain'}`}>
          {channel}
        </span>
      ))}
      {tags.map((tag) => (
        <Hint key={tag} text="A tag: it names this version for good." plain>
          <span className="tag tag-name">{tag}</span>
        </Hint>
      ))}
      {revoked !== null && (
        <Hint text={`Revoked: ${revoked.reason}`} plain>
          <span className="tag tone-bad">revoked</span>
        </Hint>
      )}
      {deprecated !== null && (
        <Hint text={`Deprecated: ${deprecated.reason}`} plain>
          <span className="tag tone-warn">deprecated</span>
        </Hint>
      )}
    </span>
  );
}

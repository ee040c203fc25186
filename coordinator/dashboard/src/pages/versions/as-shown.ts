/** Moves of a channel are made from what the page shows, and not from what somebody else has made of it meanwhile. */

import type { ChangeOptions } from '@fedlora/shared/client';
import type { ChannelView } from '@fedlora/shared';
import { api } from '../../api.js';

/** No tag of any channel: the coordinator refuses, and says why. */
const MOVED: ChangeOptions = { ifMatch: '"moved"' };

/** The condition of a move: the channel is still as it is shown; `null` is a channel that there is not. */
export async function asShown(
  repository: string,
  name: string,
  isShown: (present: ChannelView | null) => boolean,
): Promise<ChangeOptions> {
  const { channels } = await api.repository(repository);
  if (!channels.some((channel) => channel.name === name)) return isShown(null) ? {} : MOVED;
  const { channel, tag } = await api.channel(repository, name);
  return isShown(channel) && tag !== null ? { ifMatch: tag } : MOVED;
}

import type { ChainableCommander } from 'ioredis';

/**
 * Sends what was gathered and waits for all of it. A pipeline of ioredis answers with the errors of its commands, those
 * of a connection that was lost included: here the latter reject.
 * @returns results in order; an Error where Redis refused the command
 */
export const sendAll = async (pipeline: ChainableCommander): Promise<unknown[]> => {
  const replies = (await pipeline.exec()) ?? [];
  return replies.map(([error, result]) => {
    if (error === null) return result;
    if (error.name === 'ReplyError') return error;
    throw error;
  });
};

const DEFAULT_PREFIX = '{tandem}:';

/**
 * Braces make all keys of one prefix live in one slot of a cluster, where one script may change them together.
 * @param prefix before every key; one without a hash tag (`tandem:`) becomes one (`{tandem}:`)
 */
export const hashTagged = (prefix: string = DEFAULT_PREFIX): string => {
  const open = prefix.indexOf('{');
  const tagged = open >= 0 && prefix.indexOf('}', open) > open + 1;
  return tagged ? prefix : `{${prefix.replace(/(?<!:):+$/, '')}}:`;
};

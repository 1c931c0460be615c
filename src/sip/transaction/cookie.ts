/** RFC 3261 §8.1.1.7: what a branch must begin with to identify a transaction by itself. */
export const MAGIC_COOKIE = 'z9hG4bK';

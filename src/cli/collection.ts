import { setFlagsFromString } from 'node:v8';

/**
 * Has V8 make every new object in the young generation.
 *
 * By default it watches which places in the code make objects that live on, and makes theirs in the old generation from
 * then on. A node that starts under load, or is overtaken by it, has hundreds of calls open in each collection, so V8
 * learns that calls live long; when the load is gone it does not unlearn it. Every call then fills the old generation, and
 * whatever a finished one still refers to is moved there after it.
 */
export const makeObjectsYoung = (): void => setFlagsFromString('--no-allocation-site-pretenuring');

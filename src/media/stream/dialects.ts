import type { StreamDialect } from '../port.js';
import type { Dialect } from './dialect.js';
import { exotel } from './exotel.js';
import { jambonz } from './jambonz.js';
import { plivo } from './plivo.js';
import { twilio } from './twilio.js';

export const DIALECTS: { readonly [name in StreamDialect]: Dialect } = { exotel, twilio, plivo, jambonz };

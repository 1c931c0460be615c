/** libphonenumber, which is large: loaded when somebody first asks about a country, as no call does. */
import { createRequire } from 'node:module';

type NumberingPlans = typeof import('libphonenumber-js');

const require = createRequire(import.meta.url);
let loaded: NumberingPlans | undefined;

export const numberingPlans = (): NumberingPlans => (loaded ??= require('libphonenumber-js') as NumberingPlans);

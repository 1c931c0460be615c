export { type Config, configSchema } from './schema.js';
export { type ConfigSources, clusterListener, loadConfig, sipListeners } from './load.js';
export { ConfigError, type ConfigProblem } from './problems.js';
export { type SplitArguments, configKeys, splitArguments, variableOf } from './overlay.js';
export { type HostPort, type SipListener, isLoopbackHost, parseHostPort } from './address.js';
export { redactedConfig } from './redact.js';
export { publishedSchema } from './published.js';
export { type DocumentAccounts, assertSafeExposure } from './exposure.js';

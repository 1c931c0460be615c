export { DrachtioServer, type DrachtioServerOptions } from './server.js';
export type { OnAppLost } from './ledger.js';

export { DrachtioServer, type DrachtioServerOptions } from './server.js';
export type { OnAppLost } from './ledger.js';
export { type AskHttp, type HttpQuestion, type RequestHandler, millis, placeOf } from './requestHandlers.js';

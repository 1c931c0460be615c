export { type CallContext, type LogSink, type LoggerOptions, callLogger, createLogger } from './logger.js';
export { CallLog } from './callLog.js';
export { type Metrics, type MetricsOptions, createMetrics } from './metrics.js';
export type { MetricsSources } from './sourceGauges.js';
export { maskSipText } from './mask.js';

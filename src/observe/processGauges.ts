import { Counter, Gauge, type Registry } from 'prom-client';

interface Reading {
  readonly name: string;
  readonly help: string;
  readonly read: () => number;
}

const GAUGES: readonly Reading[] = [
  {
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process',
    read: () => process.memoryUsage.rss(),
  },
  { name: 'nodejs_heap_size_used_bytes', help: 'Used JavaScript heap', read: () => process.memoryUsage().heapUsed },
  { name: 'nodejs_external_memory_bytes', help: 'Memory of buffers', read: () => process.memoryUsage().external },
  { name: 'process_uptime_seconds', help: 'Age of the process', read: () => process.uptime() },
];

const COUNTERS: readonly Reading[] = [
  {
    name: 'process_cpu_user_seconds_total',
    help: 'CPU time of the process in user mode',
    read: () => process.cpuUsage().user / 1e6,
  },
  {
    name: 'process_cpu_system_seconds_total',
    help: 'CPU time of the process in the kernel',
    read: () => process.cpuUsage().system / 1e6,
  },
];

/** Memory, CPU and identity of this process, by the names that dashboards know. */
export const processGauges = (
  registry: Registry,
  identity: { readonly nodeId: string; readonly version: string },
): void => {
  const registers = [registry];
  for (const { name, help, read } of GAUGES) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  }
  for (const { name, help, read } of COUNTERS) {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }
  const info = new Gauge({
    name: 'tandem_info',
    help: 'Always 1',
    labelNames: ['node', 'version', 'nodejs'],
    registers,
  });
  info.set({ node: identity.nodeId, version: identity.version, nodejs: process.version }, 1);
};

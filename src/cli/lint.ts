import { type Finding, lintDocument } from '../call/routing/lint.js';
import type { Config } from '../config/index.js';
import { readOptions } from './arguments.js';
import { readRouting } from './table.js';

/** `tandem lint`: faults across objects that no schema sees. Exit code 1 when there is an error among them. */
export const lint = async (config: Config, argv: readonly string[]): Promise<number> => {
  readOptions('lint', argv, []);
  const { document, table } = await readRouting(config);
  const findings = lintDocument(document);
  for (const finding of findings) process.stdout.write(`${describe(finding)}\n`);
  const errors = findings.filter((finding) => finding.severity === 'error').length;
  process.stdout.write(`revision ${table.revision}: ${findings.length} findings, ${errors} errors\n`);
  return errors === 0 ? 0 : 1;
};

const describe = (finding: Finding): string =>
  `${finding.severity.padEnd(7)} ${finding.code}\n        ${finding.path}: ${finding.message}\n        remedy: ${finding.remedy}`;

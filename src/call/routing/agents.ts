/** Agents answer numbers in a published version: each version is a flow of its own, or what a flow is at the moment. */
import type { AgentVersion, Flow } from './resources.js';

/** Id of the flow that is one version of an agent, where versions are kept side by side. */
export const versionedFlowId = ({ agent_id, version }: AgentVersion): string => `${agent_id}@${version}`;

/**
 * The flow of an agent's version: `AGENT@VERSION`, else the flow `AGENT` while it has that version.
 * @returns undefined for versions that are not published
 */
export function flowOfAgent(agent: AgentVersion, flow: (id: string) => Flow | undefined): Flow | undefined {
  const kept = flow(versionedFlowId(agent));
  if (kept !== undefined) return kept;
  const plain = flow(agent.agent_id);
  return plain?.version === agent.version ? plain : undefined;
}

/** The command that enrols an agent and lets it serve. */
import type { Info } from '../api/calls';

/** The token goes by the environment: a flag would show in the list of processes. */
export function joinCommand(gateway: Pick<Info, 'public_host' | 'public_port'>, name: string, token: string): string {
  const address = `${gateway.public_host}:${gateway.public_port}`;
  return `HOOP_AGENT_JOIN_TOKEN='${token}' hoop-agent run --gateway ${address} --name ${name}`;
}

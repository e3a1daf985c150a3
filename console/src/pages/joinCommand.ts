/** The command that enrols an agent. */
export function joinCommand(origin: string, token: string): string {
  return `hoop-agent join --gateway ${origin} --token ${token}`;
}

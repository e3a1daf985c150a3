/** Lets a connection's agent look for columns that seem to hold personal data, to be confirmed and put into an access rule. */
import { Alert, Button, Checkbox, Group, Loader, Modal, Stack, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import * as calls from '../../api/calls';
import { visible } from '../../lib/visible';
import { Copyable } from '../../ui/Copyable';
import { Listing } from '../../ui/Listing';
import { ProblemAlert } from '../../ui/ProblemAlert';

export function ScanConnection({ name, onClose }: { name: string; onClose: () => void }) {
  const scan = useQuery({
    queryKey: ['connection scan', name],
    queryFn: () => calls.scanConnection(name),
    retry: false,
    staleTime: Infinity,
    gcTime: 0,
    refetchOnWindowFocus: false,
  });
  return (
    <Modal opened onClose={onClose} size="xl" title={`Personal data in ${name}`} closeButtonProps={{ 'aria-label': 'Close' }}>
      <Stack>
        {scan.isFetching ? (
          <Group gap="xs">
            <Loader size="xs" />
            <Text size="sm">Its agent reads a few values of each column. That takes a minute at most; no value leaves it.</Text>
          </Group>
        ) : scan.data ? (
          <Findings scan={scan.data} />
        ) : null}
        {scan.error && !scan.isFetching ? <ProblemAlert error={scan.error} /> : null}
        <Group justify="flex-end">
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

const key = ({ schema, table, column }: calls.ColumnFound): string => JSON.stringify([schema, table, column]);

/** A name or most of the values say so; a value here and there may be by chance. */
const isLikely = (found: calls.ColumnFound): boolean => found.by_name || found.hits * 2 >= found.rows;

function Findings({ scan }: { scan: calls.ConnectionScan }) {
  const [chosen, setChosen] = useState(() => new Set(scan.findings.filter(isLikely).map(key)));
  if (scan.problem) {
    return (
      <Alert color="red" variant="light" role="alert">
        {visible(scan.problem.message, true)} <code>{scan.problem.code}</code>
      </Alert>
    );
  }
  const toggle = (found: calls.ColumnFound) =>
    setChosen((before) => {
      const after = new Set(before);
      if (!after.delete(key(found))) after.add(key(found));
      return after;
    });
  const confirmed = scan.findings.filter((found) => chosen.has(key(found)));
  return (
    <>
      <Text size="sm" role="status">
        {scan.findings.length} of {scan.columns} columns seem to hold personal data.
        {scan.partial ? ' There is more that was not looked at or could not be read.' : ''}
      </Text>
      {scan.findings.length === 0 ? null : (
        <Listing label="Columns" minWidth={420} columns={['Column', 'Holds', 'Says so']}>
          {scan.findings.map((found) => (
            <Table.Tr key={key(found)}>
              <Table.Td>
                <Checkbox
                  checked={chosen.has(key(found))}
                  onChange={() => toggle(found)}
                  label={visible(`${found.schema}.${found.table}.${found.column}`, true)}
                  description={visible(found.type_name, true)}
                />
              </Table.Td>
              <Table.Td>{found.kind.replaceAll('_', ' ')}</Table.Td>
              <Table.Td>{[found.by_name ? 'its name' : '', found.rows > 0 ? `${found.hits} of ${found.rows} values` : ''].filter((part) => part !== '').join(', ')}</Table.Td>
            </Table.Tr>
          ))}
        </Listing>
      )}
      {confirmed.length === 0 ? null : (
        <>
          <Text size="sm">What you confirm goes into the access rule:</Text>
          <Copyable value={masking(confirmed)} label="masking of the access rule" wrap />
        </>
      )}
    </>
  );
}

/** As a rule file has it; names as JSON, which is YAML whatever stands in them. */
export function masking(findings: readonly calls.ColumnFound[]): string {
  const kinds = new Map<string, string[]>();
  for (const { schema, table, column, kind } of findings) {
    kinds.set(kind, [...(kinds.get(kind) ?? []), JSON.stringify(`${schema}.${table}.${column}`)]);
  }
  const rules = [...kinds].map(([kind, columns]) => `    - {kind: ${kind}, columns: [${columns.join(', ')}]}`);
  return ['masking:', '  columns:', ...rules].join('\n');
}

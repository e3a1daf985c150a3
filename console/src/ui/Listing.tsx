/** The frame of every list: named columns over rows, scrolled sideways where the page is too narrow for them. */
import { Table } from '@mantine/core';
import type { ReactNode } from 'react';

import classes from './Listing.module.css';

type Column = string | { readonly number: string };

interface Props {
  /** What it is a list of, for who cannot see it. */
  label: string;
  /** Narrower than this, it scrolls. */
  minWidth: number;
  columns: readonly Column[];
  /** The last column holds buttons. */
  actions?: boolean;
  /** `Table.Tr` each. */
  children: ReactNode;
}

export function Listing({ label, minWidth, columns, actions = false, children }: Props) {
  return (
    <Table.ScrollContainer minWidth={minWidth}>
      <Table className={classes.listing} highlightOnHover fz="sm" aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            {columns.map((column) =>
              typeof column === 'string' ? (
                <Table.Th key={column}>{column}</Table.Th>
              ) : (
                <Table.Th key={column.number} ta="right">
                  {column.number}
                </Table.Th>
              ),
            )}
            {actions ? <Table.Th aria-label="Actions" /> : null}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>{children}</Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

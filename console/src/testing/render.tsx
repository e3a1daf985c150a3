/** Renders with the kit around it. */
import { MantineProvider } from '@mantine/core';
import { render } from '@testing-library/react';
import type { ReactNode } from 'react';

export function renderInKit(children: ReactNode) {
  return render(<MantineProvider env="test">{children}</MantineProvider>);
}

/** Puts the parts together: styles, query cache, router. Holds no logic of its own. */
import '@mantine/core/styles.css';
import './console.css';

import { MantineProvider } from '@mantine/core';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { styleNonce } from './csp';
import { queryClient } from './queryClient';
import { router } from './router';
import { theme } from './theme';
import { installPolicy } from './trustedTypes';
import { StepUpDialog } from './ui/StepUpDialog';

installPolicy();
// For the style that holds the page still behind a dialog: the kit's helper takes its nonce from there.
setNonce(styleNonce());

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={styleNonce}>
        <QueryClientProvider client={queryClient}>
          <RouterProvider router={router} />
          <StepUpDialog />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}

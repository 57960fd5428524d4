package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gopcua/opcua/ua"
)

const (
	// keepAlive is how often the server says something at least.
	keepAlive = 5 * time.Second
	// maxKeepAlive is what a server may make of it.
	maxKeepAlive = 10 * time.Minute
	// lifetimeCount is how many times keepAlive a subscription outlives its client.
	lifetimeCount = 6
	// handle is what the server calls our item by.
	handle = 1
)

// follow tells each value that a node has, until ctx is done or something fails.
func (s *session) follow(ctx context.Context, node *ua.NodeID, interval time.Duration, tell func(*ua.DataValue)) error {
	count := uint32(max(1, keepAlive/interval))
	created, err := call[*ua.CreateSubscriptionResponse](ctx, s.channel, s.token, &ua.CreateSubscriptionRequest{
		RequestedPublishingInterval: float64(interval) / float64(time.Millisecond), PublishingEnabled: true,
		RequestedMaxKeepAliveCount: count, RequestedLifetimeCount: lifetimeCount * count,
	})
	if err != nil {
		return fmt.Errorf("make a subscription: %w", err)
	}
	items, err := call[*ua.CreateMonitoredItemsResponse](ctx, s.channel, s.token, &ua.CreateMonitoredItemsRequest{
		SubscriptionID: created.SubscriptionID, TimestampsToReturn: ua.TimestampsToReturnSource,
		ItemsToCreate: []*ua.MonitoredItemCreateRequest{{
			ItemToMonitor:  &ua.ReadValueID{NodeID: node, AttributeID: ua.AttributeIDValue, DataEncoding: new(ua.QualifiedName)},
			MonitoringMode: ua.MonitoringModeReporting,
			RequestedParameters: &ua.MonitoringParameters{
				ClientHandle: handle, SamplingInterval: float64(interval) / float64(time.Millisecond), QueueSize: 1, DiscardOldest: true,
			},
		}},
	})
	if err == nil {
		err = accepted(items)
	}
	if err != nil {
		return fmt.Errorf("subscribe to the node %s: %w", node, err)
	}
	return s.publish(ctx, silence(created), tell)
}

var errNoNode = errors.New("the server has no such node: look at IDENTIFIER and NAMESPACE_INDEX")

// accepted says whether the server has taken the one item.
func accepted(r *ua.CreateMonitoredItemsResponse) error {
	if len(r.Results) != 1 || r.Results[0] == nil {
		return fmt.Errorf("the server answers for %d nodes, and was asked for one", len(r.Results))
	}
	switch status := r.Results[0].StatusCode; {
	case status == ua.StatusBadNodeIDUnknown, status == ua.StatusBadNodeIDInvalid:
		return errNoNode
	case severity(status) == bad:
		return status
	}
	return nil
}

// silence is how long the server may say nothing, by what it has made of our wish.
func silence(r *ua.CreateSubscriptionResponse) time.Duration {
	quiet := r.RevisedPublishingInterval * float64(time.Millisecond) * float64(r.RevisedMaxKeepAliveCount)
	if math.IsNaN(quiet) || quiet < float64(keepAlive) {
		quiet = float64(keepAlive)
	}
	return time.Duration(min(quiet, float64(maxKeepAlive))) + requestTimeout
}

// publish asks for one notification after the other.
func (s *session) publish(ctx context.Context, timeout time.Duration, tell func(*ua.DataValue)) error {
	var acknowledge []*ua.SubscriptionAcknowledgement
	for {
		r, err := callFor[*ua.PublishResponse](ctx, s.channel, s.token, &ua.PublishRequest{SubscriptionAcknowledgements: acknowledge}, timeout)
		if err != nil {
			return fmt.Errorf("wait for values: %w", err)
		}
		acknowledge = nil
		if r.NotificationMessage == nil || len(r.NotificationMessage.NotificationData) == 0 {
			continue // it is still there
		}
		acknowledge = []*ua.SubscriptionAcknowledgement{{SubscriptionID: r.SubscriptionID, SequenceNumber: r.NotificationMessage.SequenceNumber}}
		for _, data := range r.NotificationMessage.NotificationData {
			if err := notified(data, tell); err != nil {
				return err
			}
		}
	}
}

// notified tells the values of a notification.
func notified(data *ua.ExtensionObject, tell func(*ua.DataValue)) error {
	if data == nil {
		return nil
	}
	switch n := data.Value.(type) {
	case *ua.DataChangeNotification:
		for _, item := range n.MonitoredItems {
			if item != nil && item.ClientHandle == handle && item.Value != nil {
				tell(item.Value)
			}
		}
	case *ua.StatusChangeNotification:
		return fmt.Errorf("the server has ended the subscription: %w", n.Status)
	}
	return nil
}
